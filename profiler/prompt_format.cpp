#include "profiler/prompt_format.h"

#include <algorithm>
#include <utility>

#include "outputs/input_error.h"

namespace headscope::profiler {
namespace {

constexpr const char* kRawInstruction = "Based on the content of the book,";
constexpr const char* kChatInstruction =
    "Based on the content of the text above, answer the question briefly.";

std::string trimmed(const std::string& text) {
  constexpr const char* kSpaces = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpaces);
  return begin == std::string::npos
             ? ""
             : text.substr(begin, text.find_last_not_of(kSpaces) - begin + 1);
}

bool ends_in_space(const std::string& text) {
  return text.empty() || std::string(" \t\r\n").find(text.back()) != std::string::npos;
}

// `next` after `text`, with a space between them unless there is whitespace already.
std::string joined(const std::string& text, const std::string& next) {
  return next.empty() ? text : text + (ends_in_space(text) ? "" : " ") + next;
}

void append_line(std::string& text, const std::string& line, const std::string& separator) {
  if (!line.empty()) {
    text += (text.empty() ? "" : separator) + line;
  }
}

model::ByteSpan find_context(const std::string& text, const std::string& context) {
  // The user's turn is the only place that repeats the context, so the first find is the right one;
  // a system text that held a whole context would be a strange system text.
  const size_t begin = text.find(context);
  if (begin == std::string::npos) {
    throw InputError("prompt", "the context as it was given", "a chat template that changes it",
                     "Use the raw format.");
  }
  return {static_cast<int64_t>(begin), static_cast<int64_t>(begin + context.size())};
}

}  // namespace

FormatChoice parse_format_choice(const std::string& name) {
  if (name == "auto") {
    return FormatChoice::kAuto;
  }
  if (name == "chat") {
    return FormatChoice::kChat;
  }
  if (name == "raw") {
    return FormatChoice::kRaw;
  }
  throw InputError("prompt format", "auto, chat or raw", "\"" + name + "\"");
}

std::optional<TokenSpan> covering_tokens(const model::Encoding& encoding,
                                         const model::ByteSpan& range) {
  std::optional<TokenSpan> span;
  for (size_t i = 0; i < encoding.offsets.size(); ++i) {
    const model::ByteSpan& bytes = encoding.offsets[i];
    // The empty offsets of added special tokens share no byte with anything.
    if (bytes.begin < bytes.end && bytes.begin < range.end && bytes.end > range.begin) {
      const auto position = static_cast<int64_t>(i);
      span = TokenSpan{span ? span->begin : position, position + 1};
    }
  }
  return span;
}

int64_t tokens_before(const model::Encoding& encoding, int64_t byte) {
  const auto later =
      std::find_if(encoding.offsets.begin(), encoding.offsets.end(),
                   [byte](const model::ByteSpan& token) { return token.end > byte; });
  return later - encoding.offsets.begin();
}

PromptWriter::PromptWriter(const model::Tokenizer& tokenizer,
                           model::ChatTemplate chat,
                           FormatChoice choice)
    : tokenizer_(&tokenizer), chat_(std::move(chat)) {
  const std::string found = chat_.format         ? "recognised as " + model::name_of(*chat_.format)
                            : chat_.text.empty() ? "none"
                                                 : "one that is not recognised";
  if (choice == FormatChoice::kChat && !chat_.format) {
    throw InputError("prompt format chat", "a chat template that is known", found,
                     "Use the raw format.");
  }
  is_chat_ = chat_.format && choice != FormatChoice::kRaw;
  format_name_ = is_chat_ ? "chat:" + model::name_of(*chat_.format) : "raw";
  note_ = std::string("prompts are ") + (is_chat_ ? "in chat format" : "raw text") +
          "; the checkpoint's chat template: " + found +
          (choice == FormatChoice::kRaw ? "; raw was asked for" : "");
}

PromptText PromptWriter::write(const std::string& context,
                               const std::string& question,
                               const std::string& answer_prefix) const {
  if (is_chat_) {
    return write_task(context, kChatInstruction, "Question: " + trimmed(question), answer_prefix);
  }
  const std::string body = trimmed(context);
  const std::string asked =
      body + "\n" + kRawInstruction + " Question: " + trimmed(question) + "\nAnswer:";
  return {joined(asked, trimmed(answer_prefix)), {0, static_cast<int64_t>(body.size())}};
}

PromptText PromptWriter::write_task(const std::string& context,
                                    const std::string& instruction,
                                    const std::string& question,
                                    const std::string& answer_prefix) const {
  const std::string body = trimmed(context);
  std::string turn = body;
  append_line(turn, trimmed(instruction), "\n\n");
  append_line(turn, trimmed(question), "\n");
  if (!is_chat_) {
    return {joined(turn + "\n", trimmed(answer_prefix)), {0, static_cast<int64_t>(body.size())}};
  }
  const std::string rendered =
      model::render_chat(chat_, {{"user", turn}}, /*add_generation_prompt=*/true);
  return {joined(rendered, trimmed(answer_prefix)), find_context(rendered, body)};
}

model::Encoding PromptWriter::encode(const std::string& prompt_text) const {
  // A chat template spells its special tokens out, the first one included. In raw text nothing is
  // special, and the tokenizer adds what it always adds.
  model::EncodeOptions options;
  options.add_special = !is_chat_;
  options.parse_special = is_chat_;
  return tokenizer_->encode(prompt_text, options);
}

std::optional<TokenSpan> PromptWriter::token_span(const std::string& prompt_text,
                                                  const model::Encoding& encoding,
                                                  const model::ByteSpan& range) const {
  const std::optional<TokenSpan> span = covering_tokens(encoding, range);
  if (!span) {
    return std::nullopt;
  }
  const std::vector<int64_t> ids(encoding.ids.begin() + span->begin,
                                 encoding.ids.begin() + span->end);
  const std::string decoded = tokenizer_->decode(ids);
  const std::string text = prompt_text.substr(static_cast<size_t>(range.begin),
                                              static_cast<size_t>(range.end - range.begin));
  if (decoded.find(text) != std::string::npos) {
    return span;
  }
  // The tokenizer may normalise (NFC, unknown characters): then both sides must agree after it did.
  const std::string plain = tokenizer_->decode(tokenizer_->encode(text, {false, false}).ids);
  const bool is_same = !trimmed(plain).empty() && decoded.find(trimmed(plain)) != std::string::npos;
  return is_same ? span : std::nullopt;
}

std::vector<int64_t> PromptWriter::continuation(const std::string& prompt_text,
                                                const model::Encoding& prompt,
                                                const std::string& answer) const {
  const std::vector<int64_t> whole = encode(joined(prompt_text, answer)).ids;
  const auto prompt_size = static_cast<std::ptrdiff_t>(prompt.ids.size());
  if (whole.size() > prompt.ids.size() &&
      std::equal(prompt.ids.begin(), prompt.ids.end(), whole.begin())) {
    return {whole.begin() + prompt_size, whole.end()};
  }
  // The seam changed the prompt's own tokens: the answer by itself, with the space it begins with.
  const std::string alone = (ends_in_space(prompt_text) ? "" : " ") + answer;
  return tokenizer_->encode(alone, {false, false}).ids;
}

}  // namespace headscope::profiler
