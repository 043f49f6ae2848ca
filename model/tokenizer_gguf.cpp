#include "model/tokenizer_gguf.h"

#include <algorithm>
#include <utility>

#include "model/pipeline_tokenizer.h"
#include "model/rank_bpe.h"
#include "model/score_bpe.h"
#include "outputs/input_error.h"

namespace headscope::model {
namespace {

enum TokenType : int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kByte = 6 };

std::string key(const GgufTokenizerData& data, const std::string& name) {
  return data.source + ": tokenizer.ggml." + name;
}

int32_t type_of(const GgufTokenizerData& data, size_t id) {
  return data.token_types.empty() ? static_cast<int32_t>(kNormal) : data.token_types[id];
}

void check_counts(const GgufTokenizerData& data) {
  const size_t count = data.tokens.size();
  if (count == 0 || count > static_cast<size_t>(Vocabulary::kMaxTokens)) {
    throw InputError(key(data, "tokens"), "a list of tokens", std::to_string(count) + " tokens");
  }
  if (!data.token_types.empty() && data.token_types.size() != count) {
    throw InputError(key(data, "token_type"), std::to_string(count) + " types, one per token",
                     std::to_string(data.token_types.size()));
  }
  const auto check_id = [&](const std::optional<int64_t>& id, const char* name) {
    if (id && (*id < 0 || *id >= static_cast<int64_t>(count))) {
      throw InputError(key(data, name), "an id below " + std::to_string(count),
                       std::to_string(*id));
    }
  };
  check_id(data.bos_id, "bos_token_id");
  check_id(data.eos_id, "eos_token_id");
  check_id(data.unknown_id, "unknown_token_id");
}

// Where one text has several ids, the first is the one that text becomes.
Vocabulary vocabulary_of(const GgufTokenizerData& data) {
  Vocabulary vocabulary;
  vocabulary.reserve(data.tokens.size());
  for (size_t i = data.tokens.size(); i-- > 0;) {
    vocabulary.add(replace_ill_formed(data.tokens[i]), static_cast<int64_t>(i));
  }
  return vocabulary;
}

// Control and user-defined tokens are looked for in the text; only the former
// are left out by decode.
std::vector<AddedToken> added_tokens_of(const GgufTokenizerData& data) {
  std::vector<AddedToken> tokens;
  for (size_t i = 0; i < data.tokens.size(); ++i) {
    const int32_t type = type_of(data, i);
    if (type != kControl && type != kUserDefined && type != kUnknown) continue;
    AddedToken token;
    token.id = static_cast<int64_t>(i);
    token.content = replace_ill_formed(data.tokens[i]);
    token.special = type != kUserDefined;
    if (!token.content.empty()) tokens.push_back(std::move(token));
  }
  return tokens;
}

PostProcessing post_processing_of(const GgufTokenizerData& data, bool add_bos_by_default) {
  PostProcessing post;
  if (data.add_bos.value_or(add_bos_by_default) && data.bos_id) post.prefix = {*data.bos_id};
  if (data.add_eos.value_or(false) && data.eos_id) post.suffix = {*data.eos_id};
  return post;
}

void add_splits(const std::vector<const char*>& expressions, TokenizerParts& parts) {
  for (const char* expression : expressions) {
    parts.pre_tokenize.push_back(split_step(Pattern::regex(expression, "GGUF pre-tokenizer"),
                                            SplitBehavior::kIsolated, /*invert=*/false));
  }
}

// The pre-tokenizers by name. The file names one instead of carrying an
// expression.
struct PreTokenizerTraits {
  bool ignore_merges = false;
  bool add_bos = false;
};

PreTokenizerTraits add_pre_tokenizer(const GgufTokenizerData& data, TokenizerParts& parts) {
  const std::string pre = data.pre.empty() ? "default" : data.pre;
  PreTokenizerTraits traits;
  bool gpt2_words = true;
  if (pre == "smollm") {
    add_splits({"\\p{N}"}, parts);
  } else if (pre == "default") {
    add_splits({"[\\p{P}\\$\\+<=>\\^~\\|]+"}, parts);
  } else if (pre == "llama-bpe" || pre == "llama3" || pre == "llama-v3") {
    add_splits({"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,"
                "3}|"
                " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
               parts);
    gpt2_words = false;
    traits = {.ignore_merges = true, .add_bos = true};
  } else if (pre == "qwen2") {
    parts.normalize.push_back(unicode_form_step(UnicodeForm::kNfc));
    add_splits({"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
                " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
               parts);
    gpt2_words = false;
  } else if (pre != "gpt-2") {
    throw InputError(key(data, "pre"),
                     "a supported pre-tokenizer (smollm, llama-bpe, qwen2, gpt-2, default)", pre);
  }
  if (pre == "default") {
    // "default" cuts the words first and the numbers out of them afterwards.
    parts.pre_tokenize.push_back(
        split_step(gpt2_pattern(), SplitBehavior::kIsolated, /*invert=*/false));
    add_splits({"\\p{N}+", "[0-9][0-9][0-9]"}, parts);
    gpt2_words = false;
  }
  parts.pre_tokenize.push_back(byte_level_step(/*add_prefix_space=*/false, gpt2_words));
  return traits;
}

void add_merges(const GgufTokenizerData& data, RankBpe& model) {
  if (data.merges.empty()) {
    throw InputError(key(data, "merges"), "a list of merges", "none",
                     "A byte-level BPE tokenizer cannot work without.");
  }
  model.reserve_merges(data.merges.size());
  for (size_t i = 0; i < data.merges.size(); ++i) {
    const std::string_view merge = data.merges[i];
    // From the second byte on: a token may be a blank, but none is empty.
    const size_t blank = merge.find(' ', 1);
    if (blank == std::string_view::npos ||
        !model.add_merge(merge.substr(0, blank), merge.substr(blank + 1))) {
      throw InputError(key(data, "merges") + "[" + std::to_string(i) + "]",
                       "a merge \"left right\" of two tokens into a third",
                       "\"" + replace_ill_formed(merge) + "\"");
    }
  }
}

std::unique_ptr<Tokenizer> byte_level_tokenizer(const GgufTokenizerData& data) {
  TokenizerParts parts;
  const PreTokenizerTraits traits = add_pre_tokenizer(data, parts);
  RankBpeOptions options;
  options.ignore_merges = traits.ignore_merges;
  auto model = std::make_unique<RankBpe>(vocabulary_of(data), options);
  add_merges(data, *model);
  parts.model = std::move(model);
  parts.added_tokens = added_tokens_of(data);
  parts.post = post_processing_of(data, traits.add_bos);
  parts.decode = {byte_level_decode_step()};
  parts.kind = "byte-level BPE";
  parts.bos_id = data.bos_id;
  parts.eos_id = data.eos_id;
  return make_pipeline_tokenizer(std::move(parts));
}

std::unique_ptr<ScoreBpe> score_model(const GgufTokenizerData& data) {
  const size_t count = data.tokens.size();
  if (data.scores.size() != count) {
    throw InputError(key(data, "scores"), std::to_string(count) + " scores, one per token",
                     std::to_string(data.scores.size()));
  }
  std::vector<float> scores = data.scores;
  std::vector<bool> can_merge(count);
  for (size_t i = 0; i < count; ++i) {
    const int32_t type = type_of(data, i);
    can_merge[i] = type != kControl && type != kUnknown && type != kByte;
    if (!(scores[i] == scores[i])) {
      throw InputError(key(data, "scores") + "[" + std::to_string(i) + "]", "a number", "NaN");
    }
  }
  return std::make_unique<ScoreBpe>(vocabulary_of(data), std::move(scores), std::move(can_merge),
                                    data.unknown_id.value_or(0));
}

std::unique_ptr<Tokenizer> sentencepiece_tokenizer(const GgufTokenizerData& data) {
  const std::string blank = "▁";
  const bool prefix = data.add_space_prefix.value_or(true);
  TokenizerParts parts;
  parts.model = score_model(data);
  parts.added_tokens = added_tokens_of(data);
  if (prefix) parts.normalize.push_back(prepend_step(blank));
  parts.normalize.push_back(replace_step(Pattern::literal(" "), blank));
  if (words_are_independent(parts.model->vocabulary(), blank)) {
    parts.pre_tokenize.push_back(cut_before_step(blank));
  }
  parts.post = post_processing_of(data, /*add_bos_by_default=*/true);
  parts.decode = {replace_decode_step(Pattern::literal(blank), " "), byte_fallback_decode_step(),
                  fuse_decode_step()};
  if (prefix) parts.decode.push_back(strip_decode_step(" ", /*left=*/1, /*right=*/0));
  parts.kind = "SentencePiece BPE";
  parts.bos_id = data.bos_id;
  parts.eos_id = data.eos_id;
  return make_pipeline_tokenizer(std::move(parts));
}

}  // namespace

std::unique_ptr<Tokenizer> tokenizer_from_gguf(const GgufTokenizerData& data) {
  check_counts(data);
  if (data.model == "gpt2") return byte_level_tokenizer(data);
  if (data.model == "llama") return sentencepiece_tokenizer(data);
  throw InputError(key(data, "model"),
                   "gpt2 (byte-level BPE) or llama (SentencePiece BPE by scores)",
                   data.model.empty() ? "none" : data.model);
}

}  // namespace headscope::model
