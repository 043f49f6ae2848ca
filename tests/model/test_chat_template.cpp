#include <catch2/catch.hpp>

#include "model/chat_template.h"
#include "outputs/input_error.h"

namespace headscope::testing {
namespace {

using model::ChatFormat;
using model::ChatMessage;

constexpr const char* kChatMl =
    "{% for message in messages %}"
    "{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

constexpr const char* kMistral =
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{{ message['content'] + eos_token }}{% endif %}{% endfor %}";

constexpr const char* kLlama31 =
    "{{- bos_token }}\n{%- if not date_string is defined %}\n"
    "    {%- set date_string = \"26 Jul 2024\" %}\n{%- endif %}\n"
    "{{- \"<|start_header_id|>system<|end_header_id|>\\n\\n\" }}\n"
    "{{- \"Cutting Knowledge Date: December 2023\\n\" }}\n"
    "{{- \"Today Date: \" + date_string + \"\\n\\n\" }}\n{{- system_message }}\n"
    "{{- \"<|eot_id|>\" }}\n{%- for message in messages %}\n"
    "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ "
    "message['content'] | trim + '<|eot_id|>' }}\n{%- endfor %}\n"
    "{%- if add_generation_prompt %}\n"
    "    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}\n{%- endif %}\n";

}  // namespace

TEST_CASE("ChatML's own system text is read from the template", "[model]") {
  const auto chat = model::recognise_chat_template(kChatMl, "", "<|im_end|>");
  REQUIRE(chat.format == ChatFormat::kChatMl);
  REQUIRE(model::name_of(*chat.format) == "chatml");
  REQUIRE(chat.default_system == "Be kind.");
  REQUIRE(model::render_chat(chat, {{"user", "Hi"}}) ==
          "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
          "<|im_start|>assistant\n");
  REQUIRE(model::render_chat(chat, {{"system", "S"}, {"user", "Hi"}},
                             /*add_generation_prompt=*/false) ==
          "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n");
}

TEST_CASE("a Mistral template without a place for it refuses a system message", "[model]") {
  const auto chat = model::recognise_chat_template(kMistral, "<s>", "</s>");
  REQUIRE(chat.format == ChatFormat::kMistral);
  REQUIRE(model::render_chat(chat, {{"user", "a"}, {"assistant", "b"}, {"user", "c"}}) ==
          "<s>[INST] a [/INST]b</s>[INST] c [/INST]");
  REQUIRE_THROWS_AS(model::render_chat(chat, {{"system", "s"}, {"user", "a"}}), InputError);
  REQUIRE_THROWS_AS(model::render_chat(chat, {{"user", "a"}, {"user", "b"}}), InputError);
}

TEST_CASE("Llama-3.1 writes its knowledge header with the template's fixed date", "[model]") {
  const auto chat = model::recognise_chat_template(kLlama31, "<|begin_of_text|>", "<|eot_id|>");
  REQUIRE(chat.format == ChatFormat::kLlama3);
  REQUIRE(model::render_chat(chat, {{"user", " Hi\n"}}) ==
          "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
          "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n<|eot_id|>"
          "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
          "<|start_header_id|>assistant<|end_header_id|>\n\n");
}

TEST_CASE("an unknown or absent template is said, not guessed", "[model]") {
  const std::vector<ChatMessage> messages = {{"user", "Hi"}};
  const auto unknown =
      model::recognise_chat_template("{{ '### ' + messages[0]['content'] }}", "<s>", "</s>");
  REQUIRE_FALSE(unknown.format.has_value());
  REQUIRE_THROWS_WITH(model::render_chat(unknown, messages), Catch::Contains("another format"));
  const auto absent = model::recognise_chat_template("", "<s>", "</s>");
  REQUIRE_FALSE(absent.format.has_value());
  REQUIRE_THROWS_WITH(model::render_chat(absent, messages), Catch::Contains("none"));
}

TEST_CASE("a template that only looks like a known format is unknown", "[model]") {
  std::string other = kChatMl;
  SECTION("other text behind every message") {
    other.replace(other.find("'<|im_end|>' + '\n'"), 18, "'<|im_end|>' + '..'");
    // The system text still ends as ChatML does; only the messages differ.
  }
  SECTION("text outside of the tags") {
    other = "Chat:\n" + other;
  }
  SECTION("no generation prompt") {
    other = other.substr(0, other.find("{% if add_gen"));
  }
  SECTION("a tag that never ends") {
    other = other.substr(0, other.size() - 14);
  }
  REQUIRE_FALSE(model::recognise_chat_template(other, "", "").format.has_value());
}

}  // namespace headscope::testing
