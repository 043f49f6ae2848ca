#include "profiler/probes/context_layout.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "profiler/needle.h"

namespace headscope::profiler {
namespace {

// Indices of the statements as they stand in the text.
std::vector<size_t> order_by_depth(const std::vector<PlacedStatement>& statements) {
  std::vector<size_t> order(statements.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return statements[a].depth < statements[b].depth; });
  return order;
}

void append(std::string& text, const std::string& more, const std::string& joint) {
  text += (text.empty() || more.empty() ? "" : joint) + more;
}

}  // namespace

std::vector<PlacedStatement> place_statements(const Question& question, double depth) {
  const std::vector<double> depths = spread_depths(question, depth);
  std::vector<PlacedStatement> statements;
  for (size_t i = 0; i < depths.size(); ++i) {
    statements.push_back({question.statements[i].text, depths[i]});
  }
  return statements;
}

LaidContext lay_context(SentenceTokens& tokens,
                        const std::vector<PlacedStatement>& statements,
                        int64_t start,
                        int64_t num_sentences) {
  std::vector<int64_t> sizes;
  for (const PlacedStatement& statement : statements) {
    sizes.push_back(tokens.count_of(statement.text));
  }
  int64_t total = std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
  for (int64_t i = 0; i < num_sentences; ++i) {
    total += tokens.count(start + i);
  }

  LaidContext laid{"", std::vector<model::ByteSpan>(statements.size()), start, num_sentences};
  const std::string& joint = tokens.haystack().joint();
  int64_t position = 0;  // in tokens
  int64_t next = 0;      // sentence
  for (const size_t i : order_by_depth(statements)) {
    const double wanted = statements[i].depth * static_cast<double>(total);
    const int64_t begin = next;
    while (next < num_sentences) {
      const int64_t further = position + tokens.count(start + next);
      if (std::abs(static_cast<double>(further) - wanted) >=
          std::abs(static_cast<double>(position) - wanted)) {
        break;
      }
      position = further;
      ++next;
    }
    append(laid.text, tokens.text(start + begin, start + next), joint);
    append(laid.text, statements[i].text, joint);
    const auto end = static_cast<int64_t>(laid.text.size());
    laid.statements[i] = {end - static_cast<int64_t>(statements[i].text.size()), end};
    position += sizes[i];
  }
  append(laid.text, tokens.text(start + next, start + num_sentences), joint);
  return laid;
}

std::optional<LaidContext> fit_context(SentenceTokens& tokens,
                                       const std::vector<PlacedStatement>& statements,
                                       int64_t start,
                                       int64_t limit,
                                       const std::function<int64_t(const LaidContext&)>& measure) {
  const auto size_with = [&](int64_t n) {
    return measure(lay_context(tokens, statements, start, n));
  };
  const std::optional<int64_t> n =
      fit_sentences(tokens, start, limit, /*empty_size=*/size_with(0), size_with);
  if (!n) {
    return std::nullopt;
  }
  const std::string window = tokens.text(start, start + *n);
  for (const PlacedStatement& statement : statements) {
    if (find_answer(window, statement.text) >= 0) {
      return std::nullopt;
    }
  }
  return lay_context(tokens, statements, start, *n);
}

}  // namespace headscope::profiler
