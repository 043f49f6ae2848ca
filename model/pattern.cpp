#define PCRE2_CODE_UNIT_WIDTH 8
#include "model/pattern.h"

#include <pcre2.h>

#include <stdexcept>
#include <utility>

#include "outputs/input_error.h"

namespace headscope::model {
namespace {

std::string message_of(int error) {
  PCRE2_UCHAR buffer[256];
  pcre2_get_error_message(error, buffer, sizeof buffer);
  return reinterpret_cast<const char*>(buffer);
}

// \s and \S spelled as the property they mean; a class [...] takes both forms
// as well.
std::string spell_white_space(const std::string& expression) {
  std::string spelled;
  for (size_t i = 0; i < expression.size(); ++i) {
    if (expression[i] != '\\' || i + 1 == expression.size()) {
      spelled += expression[i];
      continue;
    }
    const char escaped = expression[++i];
    if (escaped == 's') {
      spelled += "\\p{White_Space}";
    } else if (escaped == 'S') {
      spelled += "\\P{White_Space}";
    } else {
      spelled += '\\';
      spelled += escaped;
    }
  }
  return spelled;
}

struct MatchData {
  pcre2_match_data* data;
  pcre2_match_context* context;

  explicit MatchData(const pcre2_code* code)
      : data(pcre2_match_data_create_from_pattern(code, nullptr)),
        context(pcre2_match_context_create(nullptr)) {
    // A long run of blanks is walked back once: within reason, since the file's
    // author chose the expression, but above the default of ten million steps
    // for texts of many megabytes.
    pcre2_set_match_limit(context, 1'000'000'000U);
  }
  MatchData(const MatchData&) = delete;
  MatchData& operator=(const MatchData&) = delete;
  ~MatchData() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
  }
};

}  // namespace

struct Pattern::Compiled {
  pcre2_code* code = nullptr;
  Compiled() = default;
  Compiled(const Compiled&) = delete;
  Compiled& operator=(const Compiled&) = delete;
  ~Compiled() { pcre2_code_free(code); }
};

Pattern Pattern::literal(std::string text) {
  if (text.empty()) throw std::invalid_argument("Pattern::literal: the text is empty");
  Pattern pattern;
  pattern.literal_ = std::move(text);
  return pattern;
}

Pattern Pattern::regex(const std::string& expression, const std::string& where) {
  const std::string spelled = spell_white_space(expression);
  int error = 0;
  PCRE2_SIZE position = 0;
  auto compiled = std::make_shared<Compiled>();
  compiled->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(spelled.data()), spelled.size(),
                                 PCRE2_UTF | PCRE2_UCP, &error, &position, nullptr);
  if (compiled->code == nullptr) {
    throw InputError(where, "a regular expression that PCRE2 compiles",
                     "\"" + expression + "\" (" + message_of(error) + ")");
  }
  pcre2_jit_compile(compiled->code,
                    PCRE2_JIT_COMPLETE);  // where there is no JIT, it interprets
  Pattern pattern;
  pattern.compiled_ = std::move(compiled);
  return pattern;
}

std::vector<TextRange> Pattern::find_all(std::string_view text) const {
  std::vector<TextRange> matches;
  if (compiled_ == nullptr) {
    for (size_t at = text.find(literal_); at != std::string_view::npos;
         at = text.find(literal_, at + literal_.size())) {
      matches.push_back({at, at + literal_.size()});
    }
    return matches;
  }
  const MatchData match(compiled_->code);
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  for (size_t start = 0; start < text.size();) {
    const int count = pcre2_match(compiled_->code, subject, text.size(), start,
                                  PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, match.data, match.context);
    if (count == PCRE2_ERROR_NOMATCH) break;
    if (count < 0) {
      throw InputError(
          "tokenizer: the text is too hard for the "
          "pre-tokenizer's expression (" +
          message_of(count) + ")");
    }
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(match.data);
    matches.push_back({range[0], range[1]});
    start = range[1];
  }
  return matches;
}

}  // namespace headscope::model
