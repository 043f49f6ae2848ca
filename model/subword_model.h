// What turns one piece of text into tokens: a vocabulary and a way to merge.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "model/aligned_text.h"

namespace headscope::model {

// One token of a piece and the bytes of the piece that it covers.
struct Subword {
  int64_t id = 0;
  TextRange range;
};

// Tokens by id and ids by token. Ids need not be contiguous: a hole is an
// absent token.
class Vocabulary {
 public:
  // A token or an id that is there already is overwritten.
  void add(const std::string& token,
           int64_t id);  // 0 <= id < kMaxTokens, else invalid_argument
  void reserve(size_t count);
  [[nodiscard]] std::optional<int64_t> id_of(std::string_view token) const;
  [[nodiscard]] const std::string* token_of(int64_t id) const;  // null where there is none
  [[nodiscard]] int64_t size() const { return static_cast<int64_t>(by_id_.size()); }  // max id + 1

  static constexpr int64_t kMaxTokens = 16'777'216;

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  std::unordered_map<std::string, int64_t, Hash, std::equal_to<>> ids_;
  // Keys of a node-based map stay where they are.
  std::vector<const std::string*> by_id_;
};

class SubwordModel {
 public:
  virtual ~SubwordModel() = default;
  // Appends the tokens of a piece (valid UTF-8, not empty) from left to right.
  virtual void encode(std::string_view piece, std::vector<Subword>& out) const = 0;
  [[nodiscard]] virtual const Vocabulary& vocabulary() const = 0;
};

}  // namespace headscope::model
