#include <algorithm>
#include <catch2/catch.hpp>

#include "outputs/input_error.h"
#include "profiler/prompt_format.h"
#include "tests/support/word_tokenizer.h"

namespace headscope::profiler {
namespace {

using Catch::Contains;
using testing::WordTokenizer;

constexpr const char* kChatMl =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

constexpr const char* kMistral =
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{{ message['content'] + eos_token }}{% endif %}{% endfor %}";

constexpr const char* kLlama3 =
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ "
    "message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}"
    "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}";

model::ChatTemplate chat_of(const std::string& text) {
  return model::recognise_chat_template(text, "<s>", "</s>");
}

std::string text_of(const PromptText& prompt, const model::ByteSpan& span) {
  return prompt.text.substr(static_cast<size_t>(span.begin),
                            static_cast<size_t>(span.end - span.begin));
}

int64_t count_of(const std::vector<int64_t>& ids, int64_t id) {
  return std::count(ids.begin(), ids.end(), id);
}

TEST_CASE("the raw prompt is the papers'", "[profiler]") {
  const WordTokenizer tokenizer;
  const PromptWriter writer(tokenizer, {});
  CHECK(writer.format_name() == "raw");
  const PromptText prompt = writer.write(" Some text. \n", "Why? ", "Because");
  CHECK(prompt.text ==
        "Some text.\nBased on the content of the book, Question: Why?\nAnswer: Because");
  CHECK(text_of(prompt, prompt.context) == "Some text.");
  CHECK(writer.write("Some text.", "Why?", "").text ==
        "Some text.\nBased on the content of the book, Question: Why?\nAnswer:");
}

TEST_CASE("the model decides between chat and raw, and an unknown template is said", "[profiler]") {
  const WordTokenizer tokenizer;
  const PromptWriter chat(tokenizer, chat_of(kChatMl));
  CHECK(chat.format_name() == "chat:chatml");
  model::ChatTemplate unknown;
  unknown.text = "{{ messages }}";
  const PromptWriter raw(tokenizer, unknown);
  CHECK(raw.format_name() == "raw");
  CHECK_THAT(raw.note(), Contains("not recognised"));
  CHECK_THROWS_WITH(PromptWriter(tokenizer, unknown, FormatChoice::kChat),
                    Contains("not recognised"));
  CHECK_THROWS_AS(PromptWriter(tokenizer, {}, FormatChoice::kChat), InputError);
  const PromptWriter asked(tokenizer, chat_of(kLlama3), FormatChoice::kRaw);
  CHECK(asked.format_name() == "raw");
  CHECK_THAT(asked.note(), Contains("asked for"));
  CHECK(parse_format_choice("chat") == FormatChoice::kChat);
  CHECK_THROWS_WITH(parse_format_choice("html"), Contains("html"));
}

TEST_CASE("in every chat format the context is found and the answer begins the assistant's turn",
          "[profiler]") {
  const WordTokenizer tokenizer;
  for (const char* text : {kChatMl, kMistral, kLlama3}) {
    const PromptWriter writer(tokenizer, chat_of(text), FormatChoice::kChat);
    INFO(writer.format_name());
    const PromptText prompt = writer.write(" The tap is red. ", "Which tap?", "The tap is");
    CHECK(text_of(prompt, prompt.context) == "The tap is red.");
    CHECK(prompt.text.find("Question: Which tap?") != std::string::npos);
    CHECK(prompt.text.ends_with("The tap is"));
    const char before = prompt.text[prompt.text.size() - 11];
    CHECK((before == ' ' || before == '\n'));
    CHECK(writer.write("A.", "B?", "").text.find("The tap") == std::string::npos);
  }
}

TEST_CASE("the beginning-of-sequence token stands at most once", "[profiler]") {
  const WordTokenizer tokenizer;
  const PromptWriter raw(tokenizer, {});
  const auto raw_ids = raw.encode(raw.write("A <s> b.", "Q?", "").text).ids;
  CHECK(raw_ids.front() == 0);
  CHECK(count_of(raw_ids, 0) == 1);  // "<s>" in raw text is text
  for (const char* text : {kChatMl, kMistral, kLlama3}) {
    const PromptWriter chat(tokenizer, chat_of(text), FormatChoice::kChat);
    INFO(chat.format_name());
    const auto ids = chat.encode(chat.write("A b.", "Q?", "").text).ids;
    CHECK(count_of(ids, 0) == (text == kChatMl ? 0 : 1));
  }
}

TEST_CASE("a span covers its words, and is refused where the tokens say something else",
          "[profiler]") {
  const WordTokenizer tokenizer;
  const PromptWriter writer(tokenizer, {});
  const std::string text = "one two three four";
  model::Encoding encoding = writer.encode(text);  // <s> one two three four
  const auto span = writer.token_span(text, encoding, {4, 13});
  REQUIRE(span);
  CHECK(*span == TokenSpan{2, 4});
  CHECK(*writer.token_span(text, encoding, {5, 6}) == TokenSpan{2, 3});  // inside a word
  CHECK(!writer.token_span(text, encoding, {18, 18}));
  std::swap(encoding.ids[2], encoding.ids[4]);
  CHECK(!writer.token_span(text, encoding, {4, 13}));
}

TEST_CASE("the gold answer is what follows the prompt in one text with it", "[profiler]") {
  const WordTokenizer tokenizer;
  const PromptWriter writer(tokenizer, {});
  const PromptText prompt = writer.write("It is 42.", "What?", "It is");
  const model::Encoding encoding = writer.encode(prompt.text);
  const std::vector<int64_t> gold = writer.continuation(prompt.text, encoding, "42");
  CHECK(tokenizer.decode(gold, true) == " 42");
  std::vector<int64_t> whole = encoding.ids;
  whole.insert(whole.end(), gold.begin(), gold.end());
  CHECK(whole == writer.encode(prompt.text + " 42").ids);
  const PromptWriter chat(tokenizer, chat_of(kChatMl));
  const PromptText turn = chat.write("It is 42.", "What?", "");
  CHECK(tokenizer.decode(chat.continuation(turn.text, chat.encode(turn.text), "42"), true) == "42");
}

}  // namespace
}  // namespace headscope::profiler
