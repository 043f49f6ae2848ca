// From context, question and the start of an answer to the token ids a model is given; and from a
// piece of that text back to its tokens.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/chat_template.h"
#include "model/tokenizer.h"
#include "outputs/head_profile.h"

namespace headscope::profiler {

enum class FormatChoice { kAuto, kChat, kRaw };

// "auto", "chat", "raw"; InputError for anything else.
[[nodiscard]] FormatChoice parse_format_choice(const std::string& name);

// The tokens that share a byte with `range`, unverified; empty where none does.
[[nodiscard]] std::optional<TokenSpan> covering_tokens(const model::Encoding& encoding,
                                                       const model::ByteSpan& range);

// How many of the first tokens lie wholly before byte `byte` of the text.
[[nodiscard]] int64_t tokens_before(const model::Encoding& encoding, int64_t byte);

struct PromptText {
  std::string text;         // the whole prompt, template and special tokens spelled out
  model::ByteSpan context;  // where the context stands in it
};

// The tokenizer must outlive the writer.
class PromptWriter {
 public:
  // kAuto: chat where the checkpoint has a template that is recognised, else raw. InputError for
  // kChat where the template is absent or unknown.
  PromptWriter(const model::Tokenizer& tokenizer,
               model::ChatTemplate chat,
               FormatChoice choice = FormatChoice::kAuto);

  [[nodiscard]] const std::string& format_name() const { return format_name_; }  // "chat:chatml"
  [[nodiscard]] bool is_chat() const { return is_chat_; }
  [[nodiscard]] const std::string& note() const { return note_; }  // why this format, in words
  [[nodiscard]] const model::Tokenizer& tokenizer() const { return *tokenizer_; }

  // Chat: context and question are the user's turn, the prefix starts the assistant's. Raw: the
  // papers' context + "\nBased on the content of the book, Question: …\nAnswer:" + " " + prefix
  // (arXiv 2404.15574). The prefix may be empty. Surrounding whitespace of the context is dropped,
  // since chat templates drop it.
  [[nodiscard]] PromptText write(const std::string& context,
                                 const std::string& question,
                                 const std::string& answer_prefix) const;

  // As write, where the instruction before the question is the caller's (may be empty, as may the
  // question).
  [[nodiscard]] PromptText write_task(const std::string& context,
                                      const std::string& instruction,
                                      const std::string& question,
                                      const std::string& answer_prefix) const;

  // The prompt's ids. The beginning-of-sequence token stands there once or not at all, as the
  // checkpoint has it.
  [[nodiscard]] model::Encoding encode(const std::string& prompt_text) const;

  // The tokens that cover bytes `range` of the text: found from offsets, then verified by decoding
  // them. Empty where the decoded tokens do not hold the text of the range.
  [[nodiscard]] std::optional<TokenSpan> token_span(const std::string& prompt_text,
                                                    const model::Encoding& encoding,
                                                    const model::ByteSpan& range) const;

  // The ids that the model would emit after the prompt to give this answer: the tokens that follow
  // when prompt and answer are encoded as one text, or, where the seam changes the prompt's own
  // tokens, those of the answer alone.
  [[nodiscard]] std::vector<int64_t> continuation(const std::string& prompt_text,
                                                  const model::Encoding& prompt,
                                                  const std::string& answer) const;

 private:
  const model::Tokenizer* tokenizer_;
  model::ChatTemplate chat_;
  bool is_chat_ = false;
  std::string format_name_;
  std::string note_;
};

}  // namespace headscope::profiler
