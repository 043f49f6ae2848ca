#include "model/pipeline_tokenizer.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace headscope::model {
namespace {

// Words repeat; within one text each is merged once.
class WordCache {
 public:
  explicit WordCache(const SubwordModel& model) : model_(model) {}

  const std::vector<Subword>& encode(std::string_view word) {
    if (word.size() > kMaxWordBytes || words_.size() >= kMaxWords) {
      scratch_.clear();
      model_.encode(word, scratch_);
      return scratch_;
    }
    const auto [entry, is_new] = words_.try_emplace(std::string(word));
    if (is_new) model_.encode(word, entry->second);
    return entry->second;
  }

 private:
  static constexpr size_t kMaxWordBytes = 256;
  static constexpr size_t kMaxWords = 100'000;
  const SubwordModel& model_;
  std::unordered_map<std::string, std::vector<Subword>> words_;
  std::vector<Subword> scratch_;
};

class PipelineTokenizer : public Tokenizer {
 public:
  explicit PipelineTokenizer(TokenizerParts parts);

  [[nodiscard]] Encoding encode(std::string_view text, const EncodeOptions& options) const override;
  [[nodiscard]] std::string decode(const std::vector<int64_t>& ids,
                                   bool skip_special) const override;
  [[nodiscard]] int64_t vocab_size() const override { return vocab_size_; }
  [[nodiscard]] std::string kind() const override { return parts_.kind; }
  [[nodiscard]] std::optional<int64_t> id_of(std::string_view token) const override;
  [[nodiscard]] std::optional<int64_t> bos_id() const override { return parts_.bos_id; }
  [[nodiscard]] std::optional<int64_t> eos_id() const override { return parts_.eos_id; }

 private:
  void encode_unnormalized(AlignedText text,
                           bool parse_special,
                           WordCache& words,
                           Encoding& out) const;
  void encode_section(AlignedText text, WordCache& words, Encoding& out) const;
  void trim_spans(Encoding& encoding) const;
  [[nodiscard]] const std::string* token_of(int64_t id) const;

  TokenizerParts parts_;
  std::unordered_map<int64_t, AddedToken> added_by_id_;
  std::unordered_set<std::string> special_contents_;
  AddedTokenMatcher raw_matcher_;
  AddedTokenMatcher normalized_matcher_;
  int64_t vocab_size_;
};

std::vector<AddedToken> raw_tokens(const TokenizerParts& parts) {
  std::vector<AddedToken> tokens;
  for (const AddedToken& token : parts.added_tokens) {
    if (!token.normalized) tokens.push_back(token);
  }
  return tokens;
}

std::vector<AddedToken> normalized_tokens(const TokenizerParts& parts) {
  std::vector<AddedToken> tokens;
  for (AddedToken token : parts.added_tokens) {
    if (!token.normalized) continue;
    AlignedText content = align_text(token.content);
    for (const NormalizeStep& step : parts.normalize) step(content);
    token.content = content.text;
    if (!token.content.empty()) tokens.push_back(std::move(token));
  }
  return tokens;
}

PipelineTokenizer::PipelineTokenizer(TokenizerParts parts)
    : parts_(std::move(parts)),
      raw_matcher_(raw_tokens(parts_)),
      normalized_matcher_(normalized_tokens(parts_)),
      vocab_size_(parts_.model->vocabulary().size()) {
  for (const AddedToken& token : parts_.added_tokens) {
    added_by_id_.insert_or_assign(token.id, token);
    if (token.special) special_contents_.insert(token.content);
    vocab_size_ = std::max(vocab_size_, token.id + 1);
  }
}

Encoding PipelineTokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  Encoding out;
  WordCache words(*parts_.model);
  const AlignedText aligned = align_text(text);
  for (const TextPart& part : raw_matcher_.split(aligned.text, options.parse_special)) {
    if (part.id < 0) {
      encode_unnormalized(aligned.slice(part.range), options.parse_special, words, out);
    } else {
      out.ids.push_back(part.id);
      out.offsets.push_back(
          {aligned.origin[part.range.begin].begin, aligned.origin[part.range.end - 1].end});
    }
  }
  if (parts_.post.trim_spans) trim_spans(out);
  if (options.add_special) {
    const auto& [prefix, suffix] = std::tie(parts_.post.prefix, parts_.post.suffix);
    out.ids.insert(out.ids.begin(), prefix.begin(), prefix.end());
    out.offsets.insert(out.offsets.begin(), prefix.size(), ByteSpan{});
    out.ids.insert(out.ids.end(), suffix.begin(), suffix.end());
    out.offsets.insert(out.offsets.end(), suffix.size(), ByteSpan{});
  }
  return out;
}

void PipelineTokenizer::encode_unnormalized(AlignedText text,
                                            bool parse_special,
                                            WordCache& words,
                                            Encoding& out) const {
  for (const NormalizeStep& step : parts_.normalize) step(text);
  for (const TextPart& part : normalized_matcher_.split(text.text, parse_special)) {
    if (part.id < 0) {
      encode_section(text.slice(part.range), words, out);
    } else {
      out.ids.push_back(part.id);
      out.offsets.push_back(
          {text.origin[part.range.begin].begin, text.origin[part.range.end - 1].end});
    }
  }
}

void PipelineTokenizer::encode_section(AlignedText text, WordCache& words, Encoding& out) const {
  Section section = make_section(std::move(text));
  for (const PreTokenizeStep& step : parts_.pre_tokenize) step(section);
  const std::string_view all = section.aligned.text;
  const std::vector<ByteSpan>& origin = section.aligned.origin;
  for (const TextRange& piece : section.pieces) {
    for (const Subword& subword : words.encode(all.substr(piece.begin, piece.end - piece.begin))) {
      out.ids.push_back(subword.id);
      out.offsets.push_back({origin[piece.begin + subword.range.begin].begin,
                             origin[piece.begin + subword.range.end - 1].end});
    }
  }
}

// Blanks are counted in the token, where they are 'Ġ' or white space of an
// added token.
void PipelineTokenizer::trim_spans(Encoding& encoding) const {
  const auto is_blank = [](char32_t c) { return c == U'\u0120' || is_white_space(c); };
  for (size_t i = 0; i < encoding.ids.size(); ++i) {
    const std::string* token = token_of(encoding.ids[i]);
    if (token == nullptr) continue;
    int64_t leading = 0;
    int64_t trailing = 0;
    bool only_blanks = true;
    for (size_t position = 0; position < token->size();) {
      const bool blank = is_blank(next_code_point(*token, position));
      only_blanks = only_blanks && blank;
      leading += only_blanks ? 1 : 0;
      trailing = blank ? trailing + 1 : 0;
    }
    ByteSpan& span = encoding.offsets[i];
    if (leading > 0) {
      const bool is_first = i == 0 || span.begin == 0;
      if (is_first && parts_.post.keep_prefix_space) --leading;
      span.begin = std::min(span.begin + leading, span.end);
    }
    if (trailing > 0 && span.end >= trailing) {
      span.end = std::max(span.end - trailing, span.begin);
    }
  }
}

const std::string* PipelineTokenizer::token_of(int64_t id) const {
  const auto added = added_by_id_.find(id);
  if (added != added_by_id_.end()) return &added->second.content;
  return parts_.model->vocabulary().token_of(id);
}

std::string PipelineTokenizer::decode(const std::vector<int64_t>& ids, bool skip_special) const {
  std::vector<std::string> tokens;
  for (const int64_t id : ids) {
    // A model's output layer may have more rows than the tokenizer has tokens.
    const std::string* token = token_of(id);
    if (token == nullptr || (skip_special && special_contents_.contains(*token))) continue;
    tokens.push_back(*token);
  }
  for (const DecodeStep& step : parts_.decode) step(tokens);
  std::string text;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (i > 0 && parts_.decode.empty()) text += ' ';
    text += tokens[i];
  }
  return text;
}

std::optional<int64_t> PipelineTokenizer::id_of(std::string_view token) const {
  for (const AddedToken& added : parts_.added_tokens) {
    if (added.content == token) return added.id;
  }
  return parts_.model->vocabulary().id_of(token);
}

}  // namespace

std::unique_ptr<Tokenizer> make_pipeline_tokenizer(TokenizerParts parts) {
  return std::make_unique<PipelineTokenizer>(std::move(parts));
}

bool words_are_independent(const Vocabulary& vocabulary, const std::string& word_start) {
  if (!vocabulary.id_of(word_start)) return false;
  for (int64_t id = 0; id < vocabulary.size(); ++id) {
    const std::string* token = vocabulary.token_of(id);
    if (token == nullptr) continue;
    size_t run_end = 0;
    for (size_t at = token->find(word_start); at != std::string::npos;
         at = token->find(word_start, run_end)) {
      if (at != run_end) return false;
      run_end = at + word_start.size();
    }
  }
  return true;
}

}  // namespace headscope::model
