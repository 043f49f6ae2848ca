#include "model/jinja_text.h"

#include <algorithm>
#include <string_view>

namespace headscope::model {
namespace {

constexpr std::string_view kBlanks = " \t\n\r";

std::string trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1));
}

// End of the quoted text that starts at `begin`, behind its closing quote.
size_t skip_quoted(std::string_view text, size_t begin) {
  size_t i = begin + 1;
  while (i < text.size() && text[i] != text[begin]) i += text[i] == '\\' ? 2U : 1U;
  return std::min(i + 1, text.size());
}

bool is_quote(char c) {
  return c == '\'' || c == '"';
}

std::string unescaped(std::string_view quoted) {
  std::string text;
  for (size_t i = 1; i + 1 < quoted.size(); ++i) {
    if (quoted[i] != '\\' || i + 2 >= quoted.size()) {
      text += quoted[i];
      continue;
    }
    const char escape = quoted[++i];
    text += escape == 'n' ? '\n' : escape == 't' ? '\t' : escape == 'r' ? '\r' : escape;
  }
  return text;
}

JinjaTerm read_term(std::string_view raw) {
  const std::string term = trimmed(raw);
  if (!term.empty() && is_quote(term[0]) && skip_quoted(term, 0) == term.size()) {
    return {true, unescaped(term)};
  }
  std::string expression;
  for (const char c : term) {
    if (kBlanks.find(c) == std::string_view::npos) expression += c == '"' ? '\'' : c;
  }
  return {false, expression};
}

std::vector<JinjaTerm> read_terms(std::string_view chain) {
  std::vector<JinjaTerm> terms;
  const auto add = [&](std::string_view raw) {
    JinjaTerm term = read_term(raw);
    if (term.is_literal && !terms.empty() && terms.back().is_literal) {
      terms.back().text += term.text;
    } else {
      terms.push_back(std::move(term));
    }
  };
  size_t begin = 0;
  int depth = 0;
  for (size_t i = 0; i < chain.size();) {
    if (is_quote(chain[i])) {
      i = skip_quoted(chain, i);
      continue;
    }
    if (chain[i] == '(' || chain[i] == '[') ++depth;
    if (chain[i] == ')' || chain[i] == ']') --depth;
    if (chain[i] == '+' && depth == 0) {
      add(chain.substr(begin, i - begin));
      begin = i + 1;
    }
    ++i;
  }
  add(chain.substr(begin));
  return terms;
}

std::vector<JinjaTerm> terms_of(bool is_output, const std::string& body) {
  if (is_output) return read_terms(body);
  const size_t equals = body.find('=');
  if (!body.starts_with("set ") || equals == std::string::npos) return {};
  return read_terms(std::string_view(body).substr(equals + 1));
}

// A tag in the source, with what its delimiters do to the text around it.
struct RawTag {
  size_t begin;
  size_t end;
  char kind;  // '{' output, '%' statement, '#' comment
  bool strips_before;
  bool strips_after;
  std::string body;
};

bool find_tag(std::string_view source, size_t from, RawTag& tag) {
  for (size_t begin = source.find('{', from); begin != std::string_view::npos;
       begin = source.find('{', begin + 1)) {
    const char kind = begin + 1 < source.size() ? source[begin + 1] : ' ';
    if (kind != '{' && kind != '%' && kind != '#') continue;
    const char closing = kind == '{' ? '}' : kind;
    size_t i = begin + 2;
    while (i + 1 < source.size() && !(source[i] == closing && source[i + 1] == '}')) {
      i = kind != '#' && is_quote(source[i]) ? skip_quoted(source, i) : i + 1;
    }
    if (i + 1 >= source.size()) return false;
    std::string_view body = source.substr(begin + 2, i - begin - 2);
    const bool strips_before = body.starts_with('-');
    if (strips_before) body.remove_prefix(1);
    const bool strips_after = body.ends_with('-');
    if (strips_after) body.remove_suffix(1);
    tag = {begin, i + 2, kind, strips_before, strips_after, trimmed(body)};
    return true;
  }
  return false;
}

// The plain text between two tags (or an end of the source) that is written.
std::string text_between(std::string_view raw, const RawTag* before, const RawTag* after) {
  size_t begin = 0;
  size_t end = raw.size();
  if (after != nullptr && after->kind != '{' && !after->strips_before) {
    const size_t line = raw.rfind('\n');
    const size_t start = line == std::string_view::npos ? 0 : line + 1;
    const bool at_line_start = line != std::string_view::npos || before == nullptr;
    if (at_line_start && raw.find_first_not_of(" \t", start) == std::string_view::npos) {
      end = start;
    }
  }
  if (after != nullptr && after->strips_before) {
    const size_t last = raw.find_last_not_of(kBlanks);
    end = last == std::string_view::npos ? 0 : last + 1;
  }
  if (before != nullptr && before->strips_after) {
    begin = std::min(raw.find_first_not_of(kBlanks), end);
  } else if (before != nullptr && before->kind != '{' && raw.starts_with('\n')) {
    begin = std::min<size_t>(1, end);
  }
  if (after == nullptr && end > begin && raw[end - 1] == '\n') --end;  // Jinja drops the last one
  return std::string(raw.substr(begin, end - begin));
}

}  // namespace

JinjaText read_jinja(const std::string& source) {
  JinjaText text;
  RawTag previous{};
  RawTag next{};
  size_t position = 0;
  bool any = false;
  for (bool more = true; more;) {
    more = find_tag(source, position, next);
    const std::string_view raw =
        std::string_view(source).substr(position, (more ? next.begin : source.size()) - position);
    const std::string between =
        text_between(raw, any ? &previous : nullptr, more ? &next : nullptr);
    (text.tags.empty() ? text.text_before : text.tags.back().text_after) += between;
    if (!more) break;
    if (next.kind != '#') {
      JinjaTag tag{next.kind == '{', next.body, {}, ""};
      tag.terms = terms_of(tag.is_output, tag.body);
      text.tags.push_back(std::move(tag));
    }
    previous = next;
    position = next.end;
    any = true;
  }
  return text;
}

}  // namespace headscope::model
