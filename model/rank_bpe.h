// Byte-pair encoding by a ranked list of merges, as `tokenizer.json` and
// byte-level GGUF files carry it: for byte-level vocabularies (GPT-2, Llama-3,
// Qwen) and for SentencePiece ones converted to merges (Llama-2, Mistral).
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "model/bpe_merge.h"
#include "model/subword_model.h"

namespace headscope::model {

struct RankBpeOptions {
  bool ignore_merges = false;         // a piece that is a token as it stands is not merged up to it
  bool byte_fallback = false;         // characters without a token become <0x00> … <0xFF>
  bool fuse_unknown = false;          // unknown characters in a row become one unknown token
  std::optional<int64_t> unknown_id;  // without it, unknown characters vanish
};

class RankBpe : public SubwordModel {
 public:
  RankBpe(Vocabulary vocabulary, RankBpeOptions options);

  // The next merge by rank. False where left, right or left + right is no
  // token.
  [[nodiscard]] bool add_merge(std::string_view left, std::string_view right);
  void reserve_merges(size_t count);

  void encode(std::string_view piece, std::vector<Subword>& out) const override;
  [[nodiscard]] const Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  struct Merge {
    int64_t rank;
    int64_t id;
  };
  [[nodiscard]] std::vector<MergeSymbol> symbols_of(std::string_view piece) const;
  [[nodiscard]] bool add_bytes(std::string_view character,
                               size_t begin,
                               std::vector<MergeSymbol>& symbols) const;

  Vocabulary vocabulary_;
  RankBpeOptions options_;
  std::vector<int64_t> byte_ids_;               // of <0x00> …; -1 where absent
  std::unordered_map<uint64_t, Merge> merges_;  // by left id, right id
  int64_t next_rank_ = 0;
};

}  // namespace headscope::model
