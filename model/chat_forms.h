// What varies between templates of one chat format, read from the template's own text. A template
// whose text has another shape is none of the format.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/jinja_text.h"

namespace headscope::model {

// <|im_start|>role … <|im_end|>
struct ChatMlForm {
  bool starts_with_bos = false;
  bool trims_content = false;
  bool leaves_last_open = false;  // without generation prompt the last message is not ended
  bool prompts_after_answer = true;  // the generation prompt also where an answer came last
  bool shows_thinking = false;    // an answer at the end gets a <think> block (Qwen3)
};

// [INST] … [/INST], of Llama-2 and Mistral.
struct InstructionForm {
  bool starts_with_bos = false;  // once, before all messages
  std::vector<JinjaTerm> user;
  std::vector<JinjaTerm> user_with_system;  // empty: Llama-2's block, or no system message at all
  std::vector<JinjaTerm> assistant;
  bool system_goes_last = false;  // to the last user message instead of the first
  bool has_system_block = false;  // <<SYS>>
  bool trims_system = false;
};

// <|start_header_id|>role<|end_header_id|> … <|eot_id|>
struct Llama3Form {
  bool starts_with_bos = false;
  bool always_prompts = false;   // writes the generation prompt whether asked for or not
  std::string knowledge_header;  // "Cutting Knowledge Date: …\nToday Date: …\n\n" of Llama-3.1
};

// <|user|> … eos_token
struct ZephyrForm {
  std::string after_message;      // plain text behind every message
  std::string generation_prompt;  // with the plain text behind it
};

[[nodiscard]] std::optional<ChatMlForm> read_chatml(const JinjaText& text);
[[nodiscard]] std::optional<InstructionForm> read_instruction(const JinjaText& text);
[[nodiscard]] std::optional<Llama3Form> read_llama3(const JinjaText& text);
[[nodiscard]] std::optional<ZephyrForm> read_zephyr(const JinjaText& text);

// The system text that the template brings itself; empty where it has none.
[[nodiscard]] std::string find_default_system(const JinjaText& text);

[[nodiscard]] bool trims(const JinjaTerm& term);  // … | trim, ….strip()

}  // namespace headscope::model
