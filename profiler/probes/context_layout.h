// Statements among the sentences of a haystack window, each at the boundary nearest its depth.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "profiler/haystack_window.h"
#include "profiler/probes/question.h"

namespace headscope::profiler {

struct PlacedStatement {
  std::string text;
  double depth = 0.0;  // 0..1 of the tokens of sentences and statements together
};

// A question's statements, its anchor at `depth` (question.h).
[[nodiscard]] std::vector<PlacedStatement> place_statements(const Question& question, double depth);

struct LaidContext {
  std::string text;
  std::vector<model::ByteSpan> statements;  // where each stands in `text`, in the order given
  int64_t start = 0;                        // first sentence of the window
  int64_t num_sentences = 0;
};

// The statements among sentences [start, start + num_sentences), joined as the haystack joins.
// Statements of equal depth stand in the order given.
[[nodiscard]] LaidContext lay_context(SentenceTokens& tokens,
                                      const std::vector<PlacedStatement>& statements,
                                      int64_t start,
                                      int64_t num_sentences);

// The fullest such context from `start` for which measure(context), the tokens of the whole prompt,
// is at most `limit`. None where not one sentence fits, where the haystack ends before the prompt
// is full, or where a statement occurs in the window already (letters may differ in case).
[[nodiscard]] std::optional<LaidContext> fit_context(
    SentenceTokens& tokens,
    const std::vector<PlacedStatement>& statements,
    int64_t start,
    int64_t limit,
    const std::function<int64_t(const LaidContext&)>& measure);

}  // namespace headscope::profiler
