#include "profiler/haystack_window.h"

#include <algorithm>

namespace headscope::profiler {
namespace {

constexpr int64_t kSeamTokens =
    2;  // by which a sentence in running text may be shorter than counted

// How many sentences from `begin`, at most up to `end`, have at most `room` tokens together.
int64_t sentences_within(SentenceTokens& tokens, int64_t begin, int64_t end, int64_t room) {
  int64_t next = begin;
  while (next < end && tokens.count(next) <= room) {
    room -= tokens.count(next);
    ++next;
  }
  return next - begin;
}

// How many sentences before `end`, at least one, have at least `excess` tokens together.
int64_t sentences_to_drop(SentenceTokens& tokens, int64_t begin, int64_t end, int64_t excess) {
  int64_t first = end;
  while (first > begin && excess > 0) {
    --first;
    excess -= tokens.count(first);
  }
  return std::max<int64_t>(1, end - first);
}

}  // namespace

SentenceTokens::SentenceTokens(const Haystack& haystack, const model::Tokenizer& tokenizer)
    : haystack_(&haystack), tokenizer_(&tokenizer), counts_(haystack.sentences().size(), -1) {}

int64_t SentenceTokens::count(int64_t sentence) {
  int64_t& count = counts_.at(static_cast<size_t>(sentence));
  if (count < 0) {
    count = count_of(text(sentence, sentence + 1));
  }
  return count;
}

int64_t SentenceTokens::count_of(const std::string& text) const {
  const std::string joined = haystack_->joint() + text;
  return static_cast<int64_t>(tokenizer_->encode(joined, {false, false}).ids.size());
}

int64_t SentenceTokens::last_start(int64_t tokens) {
  int64_t start = num_sentences();
  while (tokens > 0 && start > 0) {
    --start;
    tokens -= count(start);
  }
  return tokens > 0 ? -1 : start;
}

std::string SentenceTokens::text(int64_t begin, int64_t end) const {
  if (begin >= end) {
    return "";
  }
  const auto& sentences = haystack_->sentences();
  const auto first = static_cast<size_t>(sentences.at(static_cast<size_t>(begin)).begin);
  const auto last = static_cast<size_t>(sentences.at(static_cast<size_t>(end - 1)).end);
  return haystack_->text().substr(first, last - first);
}

std::optional<int64_t> fit_sentences(SentenceTokens& tokens,
                                     int64_t start,
                                     int64_t limit,
                                     int64_t empty_size,
                                     const std::function<int64_t(int64_t)>& measure) {
  const int64_t end = tokens.num_sentences();
  int64_t fits = 0;                    // known to fit
  int64_t too_many = end - start + 1;  // known, or bound, not to
  int64_t n = sentences_within(tokens, start, end, limit - empty_size);
  n = std::max<int64_t>(n, 1);
  while (n > fits && n < too_many) {
    const int64_t room = limit - measure(n);
    if (room >= 0) {
      fits = n;
      const int64_t more = sentences_within(tokens, start + n, end, room + kSeamTokens);
      n = std::min(n + more, too_many - 1);
    } else {
      too_many = n;
      n = std::max(n - sentences_to_drop(tokens, start, start + n, -room), fits + 1);
    }
  }
  const bool is_exhausted = start + fits == end;
  return fits == 0 || is_exhausted ? std::nullopt : std::optional<int64_t>(fits);
}

}  // namespace headscope::profiler
