#include "model/added_tokens.h"

#include <algorithm>
#include <utility>

namespace headscope::model {
namespace {

size_t previous_start(std::string_view text, size_t position) {
  do {
    --position;
  } while (position > 0 && (static_cast<uint8_t>(text[position]) & 0xC0U) == 0x80U);
  return position;
}

bool ends_with_word(std::string_view text) {
  if (text.empty()) return false;
  size_t start = previous_start(text, text.size());
  return is_word_character(next_code_point(text, start));
}

bool starts_with_word(std::string_view text) {
  size_t start = 0;
  return !text.empty() && is_word_character(next_code_point(text, start));
}

// Start of the white space that ends text[0, end), not before `limit`.
size_t skip_space_back(std::string_view text, size_t end, size_t limit) {
  while (end > limit) {
    const size_t start = previous_start(text, end);
    size_t position = start;
    if (!is_white_space(next_code_point(text, position))) break;
    end = start;
  }
  return std::max(end, limit);
}

size_t skip_space(std::string_view text, size_t begin) {
  while (begin < text.size()) {
    size_t position = begin;
    if (!is_white_space(next_code_point(text, position))) break;
    begin = position;
  }
  return begin;
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens)
    : tokens_(std::move(tokens)), by_first_byte_(256) {
  std::stable_sort(tokens_.begin(), tokens_.end(), [](const AddedToken& a, const AddedToken& b) {
    return a.content.size() > b.content.size();
  });
  for (size_t i = 0; i < tokens_.size(); ++i) {
    by_first_byte_[static_cast<uint8_t>(tokens_[i].content.front())].push_back(i);
  }
}

const AddedToken* AddedTokenMatcher::longest_at(std::string_view text, size_t position) const {
  for (const size_t index : by_first_byte_[static_cast<uint8_t>(text[position])]) {
    if (text.substr(position).starts_with(tokens_[index].content)) return &tokens_[index];
  }
  return nullptr;
}

std::vector<TextPart> AddedTokenMatcher::split(std::string_view text, bool parse_special) const {
  std::vector<TextPart> parts;
  size_t done = 0;
  for (size_t position = 0; position < text.size();) {
    const AddedToken* token = longest_at(text, position);
    if (token == nullptr) {
      ++position;
      continue;
    }
    size_t begin = position;
    size_t end = position + token->content.size();
    position = end;  // also behind a match that is turned down: matches never overlap
    if (token->special && !parse_special) continue;
    if (token->single_word &&
        (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(end)))) {
      continue;
    }
    if (token->lstrip) begin = skip_space_back(text, begin, done);
    if (token->rstrip) end = skip_space(text, end);
    if (done < begin) parts.push_back({{done, begin}, -1});
    parts.push_back({{begin, end}, token->id});
    done = end;
    position = std::max(position, end);
  }
  if (done < text.size()) parts.push_back({{done, text.size()}, -1});
  return parts;
}

}  // namespace headscope::model
