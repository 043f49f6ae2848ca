// The drift check: how much of the attention the retained keys still catch. A method keeps what the
// prompt's last queries asked for; whether later queries ask for the same is what this measures,
// request by request.
//
// In the observation window the figure is exact for every head: all keys are still there when it is
// taken. Once keys are evicted nobody can say what a query would have given them, except where they
// are kept: a few sentinel query heads have the keys (not the values) of every token at hand, so
// that the mass that their queries place on the retained ones stays exact for as long as the
// request lives. These keys cost 1 / (2 num_layers num_kv_heads) of the full cache for each
// sentinel and are part of bytes_held(). Sentinels are heads that fetch: those named, best first,
// or else the query heads that give most to one single key in the middle of the prompt (not among
// its first 4 or last 64 tokens) when its last token asks. Layers with a sliding window have none.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "outputs/model_shape.h"
#include "runtime/full_layer.h"
#include "runtime/kv_cache.h"
#include "runtime/query_window.h"
#include "runtime/ragged_layer.h"

namespace headscope::runtime {

// Mass that the window's queries place on what stayed of their layer, over what they placed on all
// that was held: [B, Hq, rows] float32, 0..1.
[[nodiscard]] at::Tensor kept_mass(const QueryWindow& window, const RaggedLayer& layer);

// Of one request; means over query heads and rows, 0..1. 1 where nothing was evicted.
struct KeptMass {
  std::vector<double> window_by_layer;  // [num_layers], of the observation window
  double window = 1.0;                  // mean over layers
  std::vector<HeadId> sentinels;        // query heads
  double sentinel_window = 1.0;         // the sentinels alone, observation window
  // Of the tokens since the prompt, or since the last turn's beginning (expect_prompt()):
  double sentinel_recent = 1.0;  // the last 8
  double sentinel_lowest = 1.0;  // the lowest that any 8 in a row had; of fewer, all
};

class DriftWatch {
 public:
  // `heads`: the sentinels to have, best first; empty = judged by the prompt.
  DriftWatch(int64_t num_layers,
             int64_t num_sentinels,
             std::vector<HeadId> heads,
             std::vector<int64_t> padding);

  // Before a layer's first eviction, while all its keys are there.
  void offer(int64_t layer, const FullLayer& full, const QueryWindow& window);
  // After the eviction at the prompt's end; null where the layer kept everything.
  void see_window(int64_t layer, const QueryWindow& window, const RaggedLayer* layer_after);
  // The next tokens are judged apart from those before.
  void begin_turn();
  // A later pass, right after the layer attended to what is held.
  void see_pass(const LayerStep& step, const LayerAttention& attention, bool prompt_is_over);
  void end_pass();
  // Forgets the tokens from position `length` on; the figures stay as they are.
  void truncate(int64_t length);

  [[nodiscard]] KeptMass report(int64_t sequence) const;
  [[nodiscard]] int64_t bytes_held() const;

 private:
  struct Sentinel {
    HeadId head;
    int64_t kv_head = 0;
    double merit = 0.0;      // by which it was chosen
    at::Tensor keys;         // [B, capacity, d]
    int64_t length = 0;      // columns
    at::Tensor window_mass;  // [B] mean over the window
  };
  // Of each query head of a layer, the better the higher; -inf = no sentinel. [Hq]
  [[nodiscard]] std::vector<double> merits(int64_t layer,
                                           const FullLayer& full,
                                           const QueryWindow& window) const;
  void append(Sentinel& sentinel, const at::Tensor& keys);
  [[nodiscard]] at::Tensor mass(const Sentinel& sentinel,
                                const LayerStep& step,
                                const at::Tensor& held_lse) const;

  size_t num_sentinels_ = 0;
  std::vector<HeadId> heads_;
  std::vector<int64_t> padding_;
  std::vector<at::Tensor> window_mass_;  // [num_layers], each [B]; undefined = 1
  std::vector<Sentinel> sentinels_;
  at::Tensor pass_mass_;        // [B, n] of the pass now running, summed over sentinels
  at::Tensor recent_, lowest_;  // [B, up to 8], [B]
};

}  // namespace headscope::runtime
