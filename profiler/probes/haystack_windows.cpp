#include "profiler/probes/haystack_windows.h"

#include <algorithm>
#include <optional>

#include "outputs/input_error.h"

namespace headscope::profiler {
namespace {

constexpr int64_t kWindowAttempts = 64;
constexpr int64_t kBytesPerToken = 12;    // more than any tokenizer has on prose
constexpr int64_t kProseBytes = 1 << 20;  // windows to choose from

}  // namespace

void check_context_lengths(const std::vector<int64_t>& context_lengths) {
  if (context_lengths.empty()) {
    throw InputError("--context-lengths", "at least one", "none");
  }
  for (const int64_t length : context_lengths) {
    if (length < 1) {
      throw InputError("--context-lengths", "at least 1 token", std::to_string(length));
    }
  }
}

void grow_for(Haystack& haystack, const std::vector<int64_t>& context_lengths) {
  const int64_t longest = *std::max_element(context_lengths.begin(), context_lengths.end());
  haystack.grow(longest * kBytesPerToken + kProseBytes);
}

HaystackWindows::HaystackWindows(SentenceTokens& tokens, int64_t context_length, uint64_t draw)
    : tokens_(tokens),
      context_length_(context_length),
      num_windows_(tokens.last_start(context_length) + 1) {
  if (num_windows_ == 0) {
    throw InputError("haystack " + tokens.haystack().name(),
                     "text of at least " + std::to_string(context_length) + " tokens",
                     "a shorter one",
                     "Give more text with --haystack, or shorter --context-lengths.");
  }
  start_ = static_cast<int64_t>(draw % static_cast<uint64_t>(num_windows_));
}

LaidContext HaystackWindows::first_that_fits(
    const std::vector<PlacedStatement>& statements,
    const std::string& needle_id,
    const std::function<int64_t(const LaidContext&)>& measure,
    const std::function<bool(const LaidContext&)>& accept) {
  const int64_t empty_size = measure(lay_context(tokens_, statements, 0, 0));
  if (empty_size >= context_length_) {
    throw InputError("--context-lengths",
                     "more than the " + std::to_string(empty_size) + " tokens of needle " +
                         needle_id + ", its question and the template",
                     std::to_string(context_length_));
  }
  const int64_t attempts = std::min(num_windows_, kWindowAttempts);
  const int64_t step = num_windows_ / attempts;
  for (int64_t attempt = 0; attempt < attempts; ++attempt) {
    const int64_t window = (start_ + attempt * step) % num_windows_;
    const auto laid = fit_context(tokens_, statements, window, context_length_, measure);
    if (laid && accept(*laid)) {
      return *laid;
    }
  }
  throw InputError("haystack " + tokens_.haystack().name(),
                   "enough text for different prompts of " + std::to_string(context_length_) +
                       " tokens without the needle's statement in it",
                   "none left for needle " + needle_id,
                   "Give more text with --haystack, or fewer depths or needles.");
}

}  // namespace headscope::profiler
