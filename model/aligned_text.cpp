#include "model/aligned_text.h"

#include <utf8proc.h>

namespace headscope::model {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

uint8_t byte_at(std::string_view text, size_t index) {
  return static_cast<uint8_t>(text[index]);
}

struct Sequence {
  size_t length;
  bool well_formed;
};

// Lower and upper bound of the second byte and the total length, by the first
// byte (Unicode standard, table 3-7). Length 0: no sequence starts so.
struct LeadByte {
  size_t length;
  uint8_t second_min;
  uint8_t second_max;
};

LeadByte read_lead(uint8_t lead) {
  if (lead >= 0xC2 && lead <= 0xDF) return {2, 0x80, 0xBF};
  if (lead == 0xE0) return {3, 0xA0, 0xBF};
  if (lead == 0xED) return {3, 0x80, 0x9F};
  if (lead >= 0xE1 && lead <= 0xEF) return {3, 0x80, 0xBF};
  if (lead == 0xF0) return {4, 0x90, 0xBF};
  if (lead >= 0xF1 && lead <= 0xF3) return {4, 0x80, 0xBF};
  if (lead == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

Sequence read_sequence(std::string_view text, size_t begin) {
  const uint8_t first = byte_at(text, begin);
  if (first < 0x80) return {1, true};
  const LeadByte lead = read_lead(first);
  if (lead.length == 0) return {1, false};
  for (size_t i = 1; i < lead.length; ++i) {
    const uint8_t low = i == 1 ? lead.second_min : 0x80;
    const uint8_t high = i == 1 ? lead.second_max : 0xBF;
    if (begin + i >= text.size() || byte_at(text, begin + i) < low ||
        byte_at(text, begin + i) > high) {
      return {i, false};
    }
  }
  return {lead.length, true};
}

}  // namespace

void AlignedText::append(std::string_view bytes, ByteSpan span) {
  text.append(bytes);
  origin.insert(origin.end(), bytes.size(), span);
}

void AlignedText::append(const AlignedText& other, TextRange range) {
  text.append(other.text, range.begin, range.end - range.begin);
  origin.insert(origin.end(), other.origin.begin() + static_cast<ptrdiff_t>(range.begin),
                other.origin.begin() + static_cast<ptrdiff_t>(range.end));
}

AlignedText AlignedText::slice(TextRange range) const {
  AlignedText part;
  part.append(*this, range);
  return part;
}

AlignedText align_text(std::string_view original) {
  AlignedText aligned;
  aligned.text.reserve(original.size());
  aligned.origin.reserve(original.size());
  for (size_t begin = 0; begin < original.size();) {
    const Sequence sequence = read_sequence(original, begin);
    const ByteSpan span{static_cast<int64_t>(begin), static_cast<int64_t>(begin + sequence.length)};
    aligned.append(sequence.well_formed ? original.substr(begin, sequence.length) : kReplacement,
                   span);
    begin += sequence.length;
  }
  return aligned;
}

std::string replace_ill_formed(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  for (size_t begin = 0; begin < bytes.size();) {
    const Sequence sequence = read_sequence(bytes, begin);
    text.append(sequence.well_formed ? bytes.substr(begin, sequence.length) : kReplacement);
    begin += sequence.length;
  }
  return text;
}

char32_t next_code_point(std::string_view text, size_t& position) {
  const uint8_t first = byte_at(text, position);
  if (first < 0x80) {
    ++position;
    return first;
  }
  const size_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  char32_t code_point = first & (0xFFU >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    code_point = (code_point << 6) | (byte_at(text, position + i) & 0x3FU);
  }
  position += length;
  return code_point;
}

void append_utf8(char32_t code_point, std::string& out) {
  utf8proc_uint8_t bytes[4];
  const auto count = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code_point), bytes);
  out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(count));
}

bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

bool is_word_character(char32_t c) {
  if (c == 0x200C || c == 0x200D) return true;  // the two join controls
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return false;
  }
}

}  // namespace headscope::model
