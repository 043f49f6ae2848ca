// Random tokens repeated four times: where does a head look when the text before it comes again?
// RazorAttention (arXiv 2407.15891) reads echo and induction heads off one pass over 2500 random
// tokens repeated four times; here the period is smaller where the context is.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/tokenizer.h"
#include "profiler/probe.h"

namespace headscope::profiler {

inline constexpr const char* kRepeatFamily = "repeat";
inline constexpr int64_t kRepeatCopies = 4;
inline constexpr int64_t kRepeatMaxPeriod = 2500;

// Ids whose text is ordinary: not special, valid UTF-8, not empty, not whitespace alone.
[[nodiscard]] std::vector<int64_t> ordinary_tokens(const model::Tokenizer& tokenizer);

// For each context length `count` probes of family "repeat": the beginning-of-sequence token where
// the tokenizer puts one, then min(2500, context length / 4) different ordinary tokens in random
// order, four times. repeat_period says how many; fewer where the vocabulary has fewer. No spans,
// no question, no answer. Ids 0, 1, …. InputError for a context of fewer than 9 tokens, or a
// vocabulary without two ordinary tokens.
[[nodiscard]] std::vector<Probe> build_repeated_tokens(const std::vector<int64_t>& context_lengths,
                                                       int64_t count,
                                                       uint64_t seed,
                                                       const model::Tokenizer& tokenizer);

}  // namespace headscope::profiler
