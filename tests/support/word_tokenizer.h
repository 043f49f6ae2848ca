// A tokenizer for tests of text handling: a token is a run of letters, a digit, or any other
// character, each with the space before it, so that text and tokens are easy to follow. It makes
// its vocabulary as it goes: ids depend on what was encoded before.
#pragma once

#include <cctype>
#include <map>
#include <string>
#include <vector>

#include "model/tokenizer.h"

namespace headscope::testing {

class WordTokenizer final : public model::Tokenizer {
 public:
  explicit WordTokenizer(std::vector<std::string> special = {"<s>"}) {
    for (const std::string& token : special) {
      id_of_piece(token);
    }
    num_special_ = pieces_.size();
  }

  [[nodiscard]] model::Encoding encode(std::string_view text,
                                       const model::EncodeOptions& options = {}) const override {
    model::Encoding encoding;
    if (options.add_special) {
      encoding.ids.push_back(0);
      encoding.offsets.push_back({0, 0});
    }
    for (size_t at = 0; at < text.size();) {
      const size_t size = piece_size(text, at, options.parse_special);
      encoding.ids.push_back(id_of_piece(std::string(text.substr(at, size))));
      encoding.offsets.push_back({static_cast<int64_t>(at), static_cast<int64_t>(at + size)});
      at += size;
    }
    return encoding;
  }

  [[nodiscard]] std::string decode(const std::vector<int64_t>& ids,
                                   bool skip_special) const override {
    std::string text;
    for (const int64_t id : ids) {
      const auto index = static_cast<size_t>(id);
      text += skip_special && index < num_special_ ? "" : pieces_.at(index);
    }
    return text;
  }

  [[nodiscard]] int64_t vocab_size() const override { return static_cast<int64_t>(pieces_.size()); }
  [[nodiscard]] std::string kind() const override { return "words"; }
  [[nodiscard]] std::optional<int64_t> id_of(std::string_view token) const override {
    const auto found = ids_.find(std::string(token));
    return found == ids_.end() ? std::nullopt : std::optional<int64_t>(found->second);
  }
  [[nodiscard]] std::optional<int64_t> bos_id() const override { return 0; }
  [[nodiscard]] std::optional<int64_t> eos_id() const override { return std::nullopt; }

 private:
  static bool is_letter(char byte) {
    return std::isalpha(static_cast<unsigned char>(byte)) != 0 ||
           static_cast<unsigned char>(byte) >= 0x80;
  }

  [[nodiscard]] size_t piece_size(std::string_view text, size_t at, bool parse_special) const {
    for (size_t i = 0; parse_special && i < num_special_; ++i) {
      if (text.substr(at, pieces_[i].size()) == pieces_[i]) {
        return pieces_[i].size();
      }
    }
    size_t end = at + (text[at] == ' ' && at + 1 < text.size() && text[at + 1] != ' ' ? 1 : 0);
    if (!is_letter(text[end])) {
      return end + 1 - at;
    }
    while (end < text.size() && is_letter(text[end])) {
      ++end;
    }
    return end - at;
  }

  int64_t id_of_piece(const std::string& piece) const {
    const auto [found, is_new] = ids_.try_emplace(piece, static_cast<int64_t>(pieces_.size()));
    if (is_new) {
      pieces_.push_back(piece);
    }
    return found->second;
  }

  mutable std::map<std::string, int64_t> ids_;
  mutable std::vector<std::string> pieces_;
  size_t num_special_ = 0;
};

}  // namespace headscope::testing
