#include "profiler/tasks/task_family.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <stdexcept>

#include "outputs/input_error.h"

namespace headscope::profiler {
namespace {

constexpr int64_t kBytesPerSentence = 400;  // far more than the prose has on average

}  // namespace

std::vector<std::string> Draw::pick_different(std::vector<std::string> items, size_t count) {
  if (count > items.size()) {
    throw std::invalid_argument("pick_different: fewer items than asked for");
  }
  for (size_t i = 0; i < count; ++i) {
    std::swap(items[i], items[i + below(items.size() - i)]);
  }
  items.resize(count);
  return items;
}

std::string Filler::around(const std::vector<std::string>& statements,
                           const std::vector<double>& depths,
                           int64_t num_sentences,
                           uint64_t seed) const {
  std::optional<Haystack> prose;
  if (user_text_ == nullptr) {
    prose = Haystack::prose(seed);
    prose->grow(num_sentences * kBytesPerSentence);
  }
  const Haystack& haystack = prose ? *prose : *user_text_;
  const auto available = static_cast<int64_t>(haystack.sentences().size());
  if (available < num_sentences) {
    throw InputError("filler text " + haystack.name(),
                     "at least " + std::to_string(num_sentences) + " sentences",
                     std::to_string(available), "Give more text, or shorter contexts.");
  }
  const auto first =
      user_text_ == nullptr
          ? int64_t{0}
          : static_cast<int64_t>(seed % static_cast<uint64_t>(available - num_sentences + 1));
  std::string text;
  size_t next = 0;
  for (int64_t i = 0; i <= num_sentences; ++i) {
    const auto stands_here = [&](double depth) {
      return std::llround(depth * static_cast<double>(num_sentences)) <= i;
    };
    for (; next < statements.size() && stands_here(depths[next]); ++next) {
      text += (text.empty() ? "" : " ") + statements[next];
    }
    if (i < num_sentences) {
      const model::ByteSpan& span = haystack.sentences()[static_cast<size_t>(first + i)];
      text += (text.empty() ? "" : " ") +
              haystack.text().substr(static_cast<size_t>(span.begin),
                                     static_cast<size_t>(span.end - span.begin));
    }
  }
  return text;
}

}  // namespace headscope::profiler
