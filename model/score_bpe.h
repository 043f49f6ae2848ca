// SentencePiece's byte-pair encoding as GGUF files carry it: no merges, but a
// score per token; the pair whose joined text has the highest score merges
// first (Kudo and Richardson 2018, "SentencePiece: A simple and language
// independent subword tokenizer").
#pragma once

#include <string_view>
#include <vector>

#include "model/subword_model.h"

namespace headscope::model {

class ScoreBpe : public SubwordModel {
 public:
  // scores and can_merge: one per id. Tokens that cannot merge (control,
  // unknown, byte) are never made out of text. unknown_id stands for characters
  // without a token and without all their bytes.
  ScoreBpe(Vocabulary vocabulary,
           std::vector<float> scores,
           std::vector<bool> can_merge,
           int64_t unknown_id);

  void encode(std::string_view piece, std::vector<Subword>& out) const override;
  [[nodiscard]] const Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  [[nodiscard]] int64_t mergeable_id(std::string_view text) const;  // -1 where there is none
  void add_unknown(std::string_view piece, TextRange range, std::vector<Subword>& out) const;

  Vocabulary vocabulary_;
  std::vector<float> scores_;
  std::vector<bool> can_merge_;
  int64_t unknown_id_;
  std::vector<int64_t> byte_ids_;  // of <0x00> …; -1 where absent
};

}  // namespace headscope::model
