#include "model/normalizer.h"

#include <utf8proc.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace headscope::model {
namespace {

utf8proc_option_t options_of(UnicodeForm form) {
  int options = UTF8PROC_STABLE;
  options |= form == UnicodeForm::kNfc || form == UnicodeForm::kNfkc ? UTF8PROC_COMPOSE
                                                                     : UTF8PROC_DECOMPOSE;
  if (form == UnicodeForm::kNfkc || form == UnicodeForm::kNfkd) options |= UTF8PROC_COMPAT;
  return static_cast<utf8proc_option_t>(options);
}

// True where nothing before the character can change together with it: it
// neither reorders nor composes leftwards. Marks and the vowels and finals of
// Hangul do, directly or decomposed.
bool starts_cluster(char32_t code_point, utf8proc_option_t options) {
  if (code_point < 0x300) return true;
  std::array<utf8proc_int32_t, 32> decomposed{};
  int last_class = 0;
  const auto count = utf8proc_decompose_char(
      static_cast<utf8proc_int32_t>(code_point), decomposed.data(),
      static_cast<utf8proc_ssize_t>(decomposed.size()),
      static_cast<utf8proc_option_t>((options & ~UTF8PROC_COMPOSE) | UTF8PROC_DECOMPOSE),
      &last_class);
  if (count <= 0) return true;
  const utf8proc_int32_t first = decomposed[0];
  if (first >= 0x1160 && first <= 0x11FF) return false;
  const auto category = utf8proc_category(first);
  return category != UTF8PROC_CATEGORY_MN && category != UTF8PROC_CATEGORY_MC &&
         category != UTF8PROC_CATEGORY_ME;
}

std::string normalize(std::string_view text, utf8proc_option_t options) {
  utf8proc_uint8_t* mapped = nullptr;
  const auto length = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                   static_cast<utf8proc_ssize_t>(text.size()), &mapped, options);
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(mapped, &std::free);
  if (length < 0) throw std::runtime_error(utf8proc_errmsg(length));
  return {reinterpret_cast<const char*>(mapped), static_cast<size_t>(length)};
}

void append_cluster(const AlignedText& in,
                    TextRange range,
                    utf8proc_option_t options,
                    AlignedText& out) {
  const auto cluster = std::string_view(in.text).substr(range.begin, range.end - range.begin);
  const std::string changed = normalize(cluster, options);
  if (changed == cluster) {
    out.append(in, range);
  } else {
    out.append(changed, {in.origin[range.begin].begin, in.origin[range.end - 1].end});
  }
}

}  // namespace

NormalizeStep unicode_form_step(UnicodeForm form) {
  return [options = options_of(form)](AlignedText& text) {
    AlignedText out;
    out.text.reserve(text.text.size());
    out.origin.reserve(text.text.size());
    size_t begin = 0;
    bool ascii = true;  // of the cluster so far; ASCII alone never changes
    const auto flush = [&](size_t end) {
      if (begin == end) return;
      if (ascii) {
        out.append(text, {begin, end});
      } else {
        append_cluster(text, {begin, end}, options, out);
      }
      begin = end;
    };
    for (size_t position = 0; position < text.text.size();) {
      const size_t at = position;
      const char32_t code_point = next_code_point(text.text, position);
      if (starts_cluster(code_point, options)) {
        flush(at);
        ascii = true;
      }
      ascii = ascii && code_point < 0x80;
    }
    flush(text.text.size());
    text = std::move(out);
  };
}

NormalizeStep prepend_step(std::string prefix) {
  return [prefix = std::move(prefix)](AlignedText& text) {
    if (text.text.empty()) return;
    text.text.insert(0, prefix);
    text.origin.insert(text.origin.begin(), prefix.size(), ByteSpan(text.origin.front()));
  };
}

NormalizeStep replace_step(Pattern pattern, std::string replacement) {
  return [pattern = std::move(pattern), replacement = std::move(replacement)](AlignedText& text) {
    const std::vector<TextRange> matches = pattern.find_all(text.text);
    if (matches.empty()) return;
    AlignedText out;
    size_t begin = 0;
    for (const TextRange& match : matches) {
      out.append(text, {begin, match.begin});
      out.append(replacement, text.origin[match.end - 1]);
      begin = match.end;
    }
    out.append(text, {begin, text.text.size()});
    text = std::move(out);
  };
}

NormalizeStep lowercase_step() {
  return [](AlignedText& text) {
    AlignedText out;
    for (size_t position = 0; position < text.text.size();) {
      const size_t at = position;
      const char32_t code_point = next_code_point(text.text, position);
      std::string lower;
      if (code_point == 0x130) {
        lower = "i\u0307";  // the one letter whose lower case is two characters
      } else {
        append_utf8(
            static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code_point))),
            lower);
      }
      out.append(lower, text.origin[at]);
    }
    text = std::move(out);
  };
}

NormalizeStep strip_step(bool left, bool right) {
  return [left, right](AlignedText& text) {
    size_t begin = std::string::npos;  // of the first character that is no white space
    size_t end = 0;
    for (size_t position = 0; position < text.text.size();) {
      const size_t at = position;
      if (is_white_space(next_code_point(text.text, position))) continue;
      if (begin == std::string::npos) begin = at;
      end = position;
    }
    if (begin == std::string::npos) {
      if (left || right) text = {};
      return;
    }
    text = text.slice({left ? begin : 0, right ? end : text.text.size()});
  };
}

}  // namespace headscope::model
