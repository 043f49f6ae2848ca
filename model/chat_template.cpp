#include "model/chat_template.h"

#include <algorithm>
#include <stdexcept>
#include <string_view>

#include "model/aligned_text.h"
#include "model/chat_forms.h"
#include "outputs/input_error.h"

namespace headscope::model {
namespace {

constexpr const char* kFormats = "ChatML, Llama-2, Llama-3, Mistral and Zephyr";

// What Jinja's trim takes off: Python's idea of white space.
bool is_trimmed(char32_t c) {
  return is_white_space(c) || (c >= 0x1C && c <= 0x1F);
}

std::string trimmed(const std::string& text) {
  const std::string valid = replace_ill_formed(text);
  size_t begin = valid.size();
  size_t end = 0;
  for (size_t position = 0; position < valid.size();) {
    const size_t at = position;
    if (is_trimmed(next_code_point(valid, position))) continue;
    begin = std::min(begin, at);
    end = position;
  }
  return end == 0 ? "" : valid.substr(begin, end - begin);
}

// The system message, given or the template's own, and the messages behind it.
struct Conversation {
  std::string system;
  bool has_system = false;  // given by the caller
  std::vector<ChatMessage> turns;
};

Conversation split_system(const ChatTemplate& chat, const std::vector<ChatMessage>& messages) {
  Conversation conversation;
  conversation.has_system = messages.front().role == "system";
  conversation.system = conversation.has_system ? messages.front().content : chat.default_system;
  conversation.turns.assign(messages.begin() + (conversation.has_system ? 1 : 0), messages.end());
  return conversation;
}

// Qwen3 keeps the thoughts of the answers that nobody has asked on since, and of no others.
std::string thinking_content(const ChatMessage& message, bool after_last_question, bool is_last) {
  constexpr std::string_view kEnd = "</think>";
  constexpr std::string_view kStart = "<think>";
  std::string answer = message.content;
  std::string thought;
  if (const size_t end = answer.rfind(kEnd); end != std::string::npos) {
    thought = answer.substr(0, answer.find(kEnd));
    if (const size_t start = thought.rfind(kStart); start != std::string::npos) {
      thought.erase(0, start + kStart.size());
    }
    const size_t first = answer.find_first_not_of('\n', end + kEnd.size());
    answer = first == std::string::npos ? "" : answer.substr(first);
  }
  const auto strip_newlines = [](const std::string& text) {
    const size_t begin = text.find_first_not_of('\n');
    if (begin == std::string::npos) return std::string();
    return text.substr(begin, text.find_last_not_of('\n') - begin + 1);
  };
  thought = strip_newlines(thought);
  if (!after_last_question || (!is_last && thought.empty())) return answer;
  const size_t first = answer.find_first_not_of('\n');
  return "<think>\n" + thought + "\n</think>\n\n" +
         (first == std::string::npos ? "" : answer.substr(first));
}

std::string render_chatml(const ChatTemplate& chat,
                          const ChatMlForm& form,
                          std::vector<ChatMessage> messages,
                          bool add_generation_prompt) {
  if (messages.front().role != "system" && !chat.default_system.empty()) {
    messages.insert(messages.begin(), {"system", chat.default_system});
  }
  size_t last_question = messages.size();  // without one, no answer is behind it
  for (size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].role == "user") last_question = i;
  }
  std::string out = form.starts_with_bos ? chat.bos_token : "";
  for (size_t i = 0; i < messages.size(); ++i) {
    const ChatMessage& message = messages[i];
    const bool is_last = i + 1 == messages.size();
    std::string content = form.trims_content ? trimmed(message.content) : message.content;
    if (form.shows_thinking && message.role == "assistant") {
      content = thinking_content(message, i > last_question, is_last);
    }
    out += "<|im_start|>" + message.role + "\n" + content;
    if (is_last && form.leaves_last_open && !add_generation_prompt) break;
    out += "<|im_end|>\n";
  }
  const bool prompts = form.prompts_after_answer || messages.back().role != "assistant";
  return add_generation_prompt && prompts ? out + "<|im_start|>assistant\n" : out;
}

std::string render_terms(const std::vector<JinjaTerm>& terms,
                         const ChatTemplate& chat,
                         const std::string& system,
                         const std::string& content) {
  std::string out;
  for (const JinjaTerm& term : terms) {
    std::string value;
    if (term.is_literal) {
      value = term.text;
    } else if (term.text == "bos_token") {
      value = chat.bos_token;
    } else if (term.text == "eos_token") {
      value = chat.eos_token;
    } else {
      value = term.text.starts_with("system_message") ? system : content;
    }
    out += trims(term) ? trimmed(value) : value;
  }
  return out;
}

void check_alternation(const std::vector<ChatMessage>& turns) {
  for (size_t i = 0; i < turns.size(); ++i) {
    const std::string expected = i % 2 == 0 ? "user" : "assistant";
    if (turns[i].role != expected) {
      throw InputError("chat: message " + std::to_string(i + 1), "role " + expected,
                       "role " + turns[i].role,
                       "This chat format takes user and assistant in turn.");
    }
  }
}

std::string render_instruction(const ChatTemplate& chat,
                               const InstructionForm& form,
                               const std::vector<ChatMessage>& messages) {
  const Conversation conversation = split_system(chat, messages);
  check_alternation(conversation.turns);
  const bool has_system = conversation.has_system || !conversation.system.empty();
  if (has_system && !form.has_system_block && form.user_with_system.empty()) {
    throw InputError("chat", "no system message", "one",
                     "The model's chat template takes none; put it into the user's message.");
  }
  const std::string system = form.trims_system ? trimmed(conversation.system) : conversation.system;
  std::string out = form.starts_with_bos ? chat.bos_token : "";
  for (size_t i = 0; i < conversation.turns.size(); ++i) {
    const ChatMessage& turn = conversation.turns[i];
    const bool here = form.system_goes_last ? i + 1 == conversation.turns.size() : i == 0;
    const bool with_system = has_system && here && turn.role == "user";
    if (turn.role == "assistant") {
      out += render_terms(form.assistant, chat, system, turn.content);
    } else if (with_system && form.has_system_block) {
      out += render_terms(form.user, chat, system,
                          "<<SYS>>\n" + system + "\n<</SYS>>\n\n" + turn.content);
    } else {
      out +=
          render_terms(with_system ? form.user_with_system : form.user, chat, system, turn.content);
    }
  }
  return out;
}

std::string llama3_header(const std::string& role) {
  return "<|start_header_id|>" + role + "<|end_header_id|>\n\n";
}

std::string render_llama3(const ChatTemplate& chat,
                          const Llama3Form& form,
                          const std::vector<ChatMessage>& messages,
                          bool add_generation_prompt) {
  Conversation conversation = split_system(chat, messages);
  std::string out = form.starts_with_bos ? chat.bos_token : "";
  if (!form.knowledge_header.empty()) {
    out += llama3_header("system") + form.knowledge_header + trimmed(conversation.system) +
           "<|eot_id|>";
  } else if (conversation.has_system || !conversation.system.empty()) {
    conversation.turns.insert(conversation.turns.begin(), {"system", conversation.system});
  }
  for (const ChatMessage& turn : conversation.turns) {
    out += llama3_header(turn.role) + trimmed(turn.content) + "<|eot_id|>";
  }
  return add_generation_prompt || form.always_prompts ? out + llama3_header("assistant") : out;
}

std::string render_zephyr(const ChatTemplate& chat,
                          const ZephyrForm& form,
                          const std::vector<ChatMessage>& messages,
                          bool add_generation_prompt) {
  std::string out;
  for (const ChatMessage& message : messages) {
    out += "<|" + message.role + "|>\n" + message.content + chat.eos_token + form.after_message;
  }
  return add_generation_prompt ? out + form.generation_prompt : out;
}

std::optional<ChatFormat> format_of(const JinjaText& text, const std::string& source) {
  const auto has = [&](std::string_view part) { return source.find(part) != std::string::npos; };
  if (has("[INST]")) {
    const auto form = read_instruction(text);
    if (!form) return std::nullopt;
    return form->has_system_block ? ChatFormat::kLlama2 : ChatFormat::kMistral;
  }
  if (has("<|start_header_id|>") && read_llama3(text)) return ChatFormat::kLlama3;
  if (has("<|im_start|>") && read_chatml(text)) return ChatFormat::kChatMl;
  if (has("<|user|>") && read_zephyr(text)) return ChatFormat::kZephyr;
  return std::nullopt;
}

}  // namespace

ChatTemplate recognise_chat_template(const std::string& text,
                                     const std::string& bos_token,
                                     const std::string& eos_token) {
  ChatTemplate chat{text, std::nullopt, "", bos_token, eos_token};
  const JinjaText jinja = read_jinja(text);
  chat.format = format_of(jinja, text);
  if (chat.format && chat.format != ChatFormat::kZephyr) {
    chat.default_system = find_default_system(jinja);
  }
  return chat;
}

std::string name_of(ChatFormat format) {
  switch (format) {
    case ChatFormat::kChatMl:
      return "chatml";
    case ChatFormat::kLlama2:
      return "llama2";
    case ChatFormat::kLlama3:
      return "llama3";
    case ChatFormat::kMistral:
      return "mistral";
    case ChatFormat::kZephyr:
      return "zephyr";
  }
  throw std::invalid_argument("name_of: not a chat format");
}

std::string render_chat(const ChatTemplate& chat,
                        const std::vector<ChatMessage>& messages,
                        bool add_generation_prompt) {
  if (messages.empty()) throw std::invalid_argument("render_chat: no messages");
  if (!chat.format) {
    throw InputError("chat template", std::string("one of ") + kFormats,
                     chat.text.empty() ? "none" : "another format",
                     "Prompts can be given raw, without a chat format.");
  }
  const JinjaText text = read_jinja(chat.text);
  switch (*chat.format) {
    case ChatFormat::kChatMl:
      return render_chatml(chat, read_chatml(text).value(), messages, add_generation_prompt);
    case ChatFormat::kLlama2:
    case ChatFormat::kMistral:
      return render_instruction(chat, read_instruction(text).value(), messages);
    case ChatFormat::kLlama3:
      return render_llama3(chat, read_llama3(text).value(), messages, add_generation_prompt);
    case ChatFormat::kZephyr:
      return render_zephyr(chat, read_zephyr(text).value(), messages, add_generation_prompt);
  }
  throw std::invalid_argument("render_chat: not a chat format");
}

}  // namespace headscope::model
