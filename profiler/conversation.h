// A prompt and further turns on one cache, full or compressed, with the drift check: what
// `generate` runs. Where the retained keys no longer catch enough of the attention, a turn can be
// answered again from a larger budget, which costs reading all of it anew.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "model/generate.h"
#include "outputs/budget_plan.h"
#include "outputs/head_profile.h"
#include "runtime/compressor.h"
#include "runtime/full_kv_cache.h"

namespace headscope::profiler {

struct DriftOptions {
  int64_t sentinels = 0;   // KV heads that watch; 0 = no check
  double threshold = 0.5;  // kept mass below which a request has drifted, 0..1
  double fallback = 0.0;   // by how much budgets grow then, > 1; 0 = the check only reports

  void validate() const;  // InputError
};

struct TurnResult {
  int64_t prompt_tokens = 0;  // of this turn
  model::GenerateResult generated;
  std::optional<runtime::KeptMass> kept;  // where drift is watched
  // In the window or over 8 of this turn's tokens in a row kept mass lay below the threshold.
  bool drifted = false;
  // It had, and the answer is that of the larger budgets, of which `kept` and `drifted` now tell.
  bool fell_back = false;
};

class Conversation {
 public:
  // Without a plan the cache is a full one and nothing drifts.
  Conversation(const model::Decoder& decoder,
               std::optional<BudgetPlan> plan,
               const runtime::CompressorOptions& compressor,
               const DriftOptions& drift);

  // Reads a turn's tokens and answers. The last token of the answer before goes first, unless it is
  // one of options.stop_ids: templates write the end of a turn themselves.
  TurnResult say(const std::vector<int64_t>& tokens, const model::GenerateOptions& options);

  [[nodiscard]] const runtime::KvCache& cache() const;
  // Null without a plan.
  [[nodiscard]] const runtime::CompressingKvCache* compressed() const { return compressed_.get(); }
  // Tokens of the prompt that was compressed: the first turn's, or all that a fall-back read.
  [[nodiscard]] const std::vector<int64_t>& prompt() const { return prompt_; }

 private:
  TurnResult answer(const std::vector<int64_t>& tokens, const model::GenerateOptions& options);
  void start_over();

  const model::Decoder& decoder_;
  std::optional<BudgetPlan> plan_;
  runtime::CompressorOptions compressor_;
  DriftOptions drift_;
  std::unique_ptr<runtime::CompressingKvCache> compressed_;
  std::unique_ptr<runtime::FullKvCache> full_;
  std::vector<int64_t> history_;  // all that went through the model
  std::vector<int64_t> prompt_;
  std::optional<int64_t> unread_;  // the last generated token
};

// Heads with a `retrieval` score above 0, best first: those to watch for drift. Empty where the
// profile has no such score.
[[nodiscard]] std::vector<HeadId> retrieval_heads(const HeadProfile& profile);

// The plan with every budget `factor` times as large, rounded up.
[[nodiscard]] BudgetPlan enlarged(BudgetPlan plan, double factor);

}  // namespace headscope::profiler
