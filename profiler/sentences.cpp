#include "profiler/sentences.h"

#include <algorithm>
#include <array>

namespace headscope::profiler {
namespace {

constexpr size_t kLongestSentence = 600;  // bytes

bool is_space(char byte) {
  return byte == ' ' || byte == '\n' || byte == '\t' || byte == '\r' || byte == '\f' ||
         byte == '\v';
}

bool is_upper(char byte) {
  return byte >= 'A' && byte <= 'Z';
}
bool is_letter(char byte) {
  return is_upper(byte) || (byte >= 'a' && byte <= 'z');
}

bool starts_with_at(std::string_view text, size_t at, std::string_view piece) {
  return text.substr(at, piece.size()) == piece;
}

// Bytes of a CJK full stop, question or exclamation mark at `at`; 0 = none.
size_t cjk_stop_at(std::string_view text, size_t at) {
  for (const std::string_view stop : {"\u3002", "\uff01", "\uff1f"}) {
    if (starts_with_at(text, at, stop)) {
      return stop.size();
    }
  }
  return 0;
}

// Bytes of . ! ? … at `at`; 0 = none.
size_t stop_at(std::string_view text, size_t at) {
  if (text[at] == '.' || text[at] == '!' || text[at] == '?') {
    return 1;
  }
  return starts_with_at(text, at, "\u2026") ? 3 : 0;
}

// Bytes of a closing quote or bracket at `at`; 0 = none.
size_t closer_at(std::string_view text, size_t at) {
  for (const std::string_view closer :
       {"\"", "'", ")", "]", "\u201d", "\u2019", "\u00bb", "\u300d", "\u300f"}) {
    if (starts_with_at(text, at, closer)) {
      return closer.size();
    }
  }
  return 0;
}

// The full stop at `at` belongs to an abbreviation or to an initial: "Mr.", "J. S. Bach".
bool is_abbreviation(std::string_view text, size_t at) {
  size_t begin = at;
  while (begin > 0 && is_letter(text[begin - 1])) {
    --begin;
  }
  const std::string_view word = text.substr(begin, at - begin);
  if (word.size() == 1 && is_upper(word[0]) && word != "I") {
    return true;
  }
  static constexpr std::array<std::string_view, 16> kAbbreviations{
      "Mr",  "Mrs", "Ms", "Dr", "St",  "Prof",   "Capt", "Col",
      "Gen", "Lt",  "No", "vs", "etc", "Messrs", "Rev",  "Hon"};
  return std::find(kAbbreviations.begin(), kAbbreviations.end(), word) != kAbbreviations.end();
}

// End of the sentence if one ends with what stands at `at`, else `at`.
size_t sentence_end_at(std::string_view text, size_t at) {
  const size_t cjk = cjk_stop_at(text, at);
  size_t end = at + (cjk > 0 ? cjk : stop_at(text, at));
  if (end == at || (cjk == 0 && text[at] == '.' && is_abbreviation(text, at))) {
    return at;
  }
  for (size_t more = 1; more > 0 && end < text.size(); end += more) {
    more = std::max(stop_at(text, end), closer_at(text, end));
  }
  const bool is_end = cjk > 0 || end == text.size() || is_space(text[end]);
  return is_end ? end : at;
}

bool is_blank_line_at(std::string_view text, size_t at) {
  if (text[at] != '\n') {
    return false;
  }
  size_t next = at + 1;
  while (next < text.size() && (text[next] == ' ' || text[next] == '\t' || text[next] == '\r')) {
    ++next;
  }
  return next < text.size() && text[next] == '\n';
}

// Appends text[begin, end) without surrounding whitespace, cut where it is too long.
void append_pieces(std::string_view text,
                   size_t begin,
                   size_t end,
                   std::vector<model::ByteSpan>& sentences) {
  for (;;) {
    while (begin < end && is_space(text[begin])) {
      ++begin;
    }
    while (end > begin && is_space(text[end - 1])) {
      --end;
    }
    if (begin == end) {
      return;
    }
    size_t cut = end;
    if (end - begin > kLongestSentence) {
      const std::string_view head = text.substr(begin, kLongestSentence);
      size_t at = head.find_last_of("\n");
      at = at == std::string_view::npos || at == 0 ? head.find_last_of(" \t") : at;
      // A word of more than 600 bytes stays whole.
      cut = at != std::string_view::npos && at > 0
                ? begin + at
                : std::min(text.find_first_of(" \t\r\n", begin + kLongestSentence), end);
    }
    sentences.push_back({static_cast<int64_t>(begin), static_cast<int64_t>(cut)});
    begin = cut;
  }
}

}  // namespace

std::vector<model::ByteSpan> find_sentences(std::string_view text) {
  std::vector<model::ByteSpan> sentences;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = sentence_end_at(text, at);
    if (end > at || is_blank_line_at(text, at)) {
      const size_t stop = std::max(end, at + 1);
      append_pieces(text, begin, stop, sentences);
      begin = stop;
      at = stop;
    } else {
      ++at;
    }
  }
  append_pieces(text, begin, text.size(), sentences);
  return sentences;
}

int64_t first_invalid_utf8(std::string_view text) {
  const auto byte_at = [&](size_t at) { return static_cast<unsigned char>(text[at]); };
  for (size_t at = 0; at < text.size();) {
    const unsigned lead = byte_at(at);
    const size_t length = lead < 0x80         ? 1
                          : lead >> 5 == 0x6  ? 2
                          : lead >> 4 == 0xE  ? 3
                          : lead >> 3 == 0x1E ? 4
                                              : 0;
    bool is_valid = length > 0 && at + length <= text.size();
    unsigned code = length > 1 ? lead & (0x7FU >> length) : lead;
    for (size_t i = 1; is_valid && i < length; ++i) {
      is_valid = byte_at(at + i) >> 6 == 0x2;
      code = code << 6 | (byte_at(at + i) & 0x3FU);
    }
    // Overlong forms, surrogates and what lies beyond Unicode.
    constexpr std::array<unsigned, 5> kSmallest{0, 0, 0x80, 0x800, 0x10000};
    if (!is_valid || code < kSmallest[length] || code > 0x10FFFF ||
        (code >= 0xD800 && code <= 0xDFFF)) {
      return static_cast<int64_t>(at);
    }
    at += length;
  }
  return -1;
}

}  // namespace headscope::profiler
