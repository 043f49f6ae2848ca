// Greedy answers: when one ends, and decoding one from a cache that already
// holds the prompt.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "profiler/measured_model.h"
#include "runtime/kv_cache.h"

namespace headscope::profiler {

struct AnswerLimits {
  int64_t max_tokens = 50;      // >= 1
  bool stop_at_newline = true;  // once something other than whitespace was said
};

// Watches the tokens of one answer. End tokens are the model's own (config,
// tokenizer, chat turns).
class AnswerEnd {
 public:
  AnswerEnd(const MeasuredModel& model, const AnswerLimits& limits);

  // Takes the next emitted token. False: it ends the answer and is no part of
  // it.
  [[nodiscard]] bool take(int64_t token);
  // True once no more tokens may follow.
  [[nodiscard]] bool is_full() const;

  [[nodiscard]] const std::vector<int64_t>& ids() const { return ids_; }
  [[nodiscard]] std::string text() const;  // valid UTF-8, special tokens left out

 private:
  const model::Tokenizer& tokenizer_;
  AnswerLimits limits_;
  std::vector<int64_t> stop_ids_;
  std::vector<int64_t> ids_;
  bool has_words_ = false;
};

// The most likely next token, first of equals, from logits [..., vocab].
[[nodiscard]] int64_t greedy_choice(const at::Tensor& logits);

// Reads tokens after those that the cache holds, `chunk_tokens` a pass, and returns the logits of
// the last, [1, 1, vocab]. The cache is not told that a prompt ends: what it judges keys by stays.
[[nodiscard]] at::Tensor read_further(const MeasuredModel& model,
                                      std::span<const int64_t> tokens,
                                      runtime::KvCache& cache,
                                      int64_t chunk_tokens);

// Goes on from `first_token`, which was emitted but did not yet go through the
// model. Stops early at the model's last position. A `head_mask` must be that of the prompt's pass.
[[nodiscard]] AnswerEnd decode_greedily(const MeasuredModel& model,
                                        runtime::KvCache& cache,
                                        int64_t first_token,
                                        const AnswerLimits& limits,
                                        model::Observer* observer = nullptr,
                                        const model::HeadMask* head_mask = nullptr);

// How many answers are decoded at once: weights are read once for all of them, while few enough
// compressed caches stand beside the full one.
inline constexpr size_t kAnswersSideBySide = 16;

// The same of several caches at one position, each with a sequence of its own: one pass of the
// model serves all answers that have not ended (runtime/side_by_side_cache.h). first_tokens[i] and
// the result belong to caches[i].
[[nodiscard]] std::vector<AnswerEnd> decode_side_by_side(const MeasuredModel& model,
                                                         std::span<runtime::KvCache* const> caches,
                                                         std::span<const int64_t> first_tokens,
                                                         const AnswerLimits& limits);

// Bytes that are no UTF-8 replaced by U+FFFD: a model may emit half a
// character.
[[nodiscard]] std::string valid_utf8(const std::string& text);

}  // namespace headscope::profiler
