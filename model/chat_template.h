// The chat formats of the supported families, recognised from a checkpoint's template text. A
// template that is not one of them is reported as unknown, never guessed.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace headscope::model {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

enum class ChatFormat { kChatMl, kLlama2, kLlama3, kMistral, kZephyr };

// What is known of a checkpoint's chat template.
struct ChatTemplate {
  std::string text;                  // the Jinja source; empty = the checkpoint has none
  std::optional<ChatFormat> format;  // empty with a text = not recognised
  std::string default_system;        // what the template inserts when no system message is given
  std::string bos_token;             // written by the template where the format starts with it
  std::string eos_token;
};

[[nodiscard]] ChatTemplate recognise_chat_template(const std::string& text,
                                                   const std::string& bos_token,
                                                   const std::string& eos_token);
[[nodiscard]] std::string name_of(ChatFormat format);  // "chatml", "llama2", …

// The prompt text, special tokens spelled out, ready for Tokenizer::encode with add_special = false.
// It is what Jinja makes of the template without tools; a template that would write today's date
// gets the fixed one it carries, so that prompts repeat. InputError where the template is absent or
// unknown, or refuses the messages (a system message it has no place for, roles out of turn).
[[nodiscard]] std::string render_chat(const ChatTemplate& chat,
                                      const std::vector<ChatMessage>& messages,
                                      bool add_generation_prompt = true);

}  // namespace headscope::model
