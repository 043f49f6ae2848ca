// The one tokenizer class behind every file format: added tokens →
// normalization → pieces → subwords → special tokens, and decoder steps for the
// way back. The formats only fill in parts.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/added_tokens.h"
#include "model/normalizer.h"
#include "model/pre_tokenize.h"
#include "model/subword_model.h"
#include "model/token_decoder.h"
#include "model/tokenizer.h"

namespace headscope::model {

// What the post-processor does around the tokens of a text.
struct PostProcessing {
  std::vector<int64_t> prefix;  // special tokens before the text, e.g. BOS
  std::vector<int64_t> suffix;  // and after it
  // Spans lose the blanks at their ends; the first token of a text keeps the
  // one that a prefix space stands for where keep_prefix_space is set.
  bool trim_spans = false;
  bool keep_prefix_space = false;
};

struct TokenizerParts {
  std::unique_ptr<SubwordModel> model;
  std::vector<AddedToken> added_tokens;
  std::vector<NormalizeStep> normalize;
  std::vector<PreTokenizeStep> pre_tokenize;
  PostProcessing post;
  std::vector<DecodeStep> decode;  // empty: tokens are joined by blanks
  std::string kind;
  std::optional<int64_t> bos_id;
  std::optional<int64_t> eos_id;
};

[[nodiscard]] std::unique_ptr<Tokenizer> make_pipeline_tokenizer(TokenizerParts parts);

// True where a SentencePiece text may be cut before every blank that follows
// something else without changing its tokens: no token has such a place inside,
// so no merge crosses it. Texts are then tokenized word by word, which costs a
// tenth of one long merge.
[[nodiscard]] bool words_are_independent(const Vocabulary& vocabulary,
                                         const std::string& word_start);

}  // namespace headscope::model
