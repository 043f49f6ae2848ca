#include "model/chat_forms.h"

#include <algorithm>
#include <string_view>

namespace headscope::model {
namespace {

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

bool mentions(const JinjaTerm& term, std::string_view name) {
  return !term.is_literal && contains(term.text, name);
}

bool any_body(const JinjaText& text, std::string_view part) {
  return std::any_of(text.tags.begin(), text.tags.end(),
                     [&](const JinjaTag& tag) { return contains(tag.body, part); });
}

bool writes_bos(const JinjaText& text) {
  return std::any_of(text.tags.begin(), text.tags.end(), [](const JinjaTag& tag) {
    return std::any_of(tag.terms.begin(), tag.terms.end(),
                       [](const JinjaTerm& term) { return mentions(term, "bos_token"); });
  });
}

bool writes_only_tags(const JinjaText& text) {
  return text.text_before.empty() &&
         std::all_of(text.tags.begin(), text.tags.end(),
                     [](const JinjaTag& tag) { return tag.text_after.empty(); });
}

bool is_single_literal(const JinjaTag& tag, std::string_view literal) {
  return tag.is_output && tag.terms.size() == 1 && tag.terms[0].is_literal &&
         tag.terms[0].text == literal;
}

bool any_single_literal(const JinjaText& text, std::string_view literal) {
  return std::any_of(text.tags.begin(), text.tags.end(),
                     [&](const JinjaTag& tag) { return is_single_literal(tag, literal); });
}

// '<|im_start|>' + role + '\n' + content [+ '<|im_end|>\n'], the role also as part of the text.
const JinjaTerm* chatml_content(const JinjaTag& tag, bool& is_ended) {
  const auto& terms = tag.terms;
  if (!tag.is_output || terms.size() < 2 || !terms[0].is_literal ||
      !terms[0].text.starts_with("<|im_start|>")) {
    return nullptr;
  }
  size_t at = 1;
  if (terms[0].text == "<|im_start|>") {
    if (terms.size() < 4 || !mentions(terms[1], "role") || !terms[2].is_literal ||
        terms[2].text != "\n") {
      return nullptr;
    }
    at = 3;
  } else if (!terms[0].text.ends_with("\n")) {
    return nullptr;
  }
  is_ended =
      at + 2 == terms.size() && terms[at + 1].is_literal && terms[at + 1].text == "<|im_end|>\n";
  const bool is_open = at + 1 == terms.size();
  return mentions(terms[at], "content") && (is_ended || is_open) ? &terms[at] : nullptr;
}

bool is_user_turn(const JinjaTag& tag) {
  if (!tag.is_output || !contains(tag.body, "[INST]") || !contains(tag.body, "[/INST]")) {
    return false;
  }
  return std::any_of(tag.terms.begin(), tag.terms.end(),
                     [](const JinjaTerm& term) { return mentions(term, "content"); });
}

bool is_assistant_turn(const JinjaTag& tag) {
  bool content = false;
  bool eos = false;
  for (const JinjaTerm& term : tag.terms) {
    content = content || mentions(term, "content");
    eos = eos || mentions(term, "eos_token");
  }
  return tag.is_output && content && eos && !contains(tag.body, "INST]");
}

std::string literal_that_starts_with(const JinjaText& text, std::string_view start) {
  for (const JinjaTag& tag : text.tags) {
    for (const JinjaTerm& term : tag.terms) {
      if (tag.is_output && term.is_literal && term.text.starts_with(start)) return term.text;
    }
  }
  return "";
}

// The date a template sets where nobody passes one; the last, since today's date comes before it.
std::string fixed_date(const JinjaText& text) {
  std::string date;
  for (const JinjaTag& tag : text.tags) {
    if (tag.body.starts_with("set date_string") && tag.terms.size() == 1 &&
        tag.terms[0].is_literal) {
      date = tag.terms[0].text;
    }
  }
  return date;
}

}  // namespace

bool trims(const JinjaTerm& term) {
  return !term.is_literal && (contains(term.text, "|trim") || contains(term.text, ".strip()"));
}

std::optional<ChatMlForm> read_chatml(const JinjaText& text) {
  if (!any_body(text, "add_generation_prompt") || any_body(text, "<|im_sep|>") ||
      !any_single_literal(text, "<|im_start|>assistant\n") || !writes_only_tags(text)) {
    return std::nullopt;
  }
  ChatMlForm form;
  bool found = false;
  bool ends = false;
  for (const JinjaTag& tag : text.tags) {
    bool is_ended = false;
    if (const JinjaTerm* content = chatml_content(tag, is_ended)) {
      found = true;
      ends = ends || is_ended;
      form.trims_content = form.trims_content || trims(*content);
    }
  }
  form.leaves_last_open = !ends && any_body(text, "or not loop.last");
  if (!found || (!ends && !any_single_literal(text, "<|im_end|>\n"))) return std::nullopt;
  form.starts_with_bos = writes_bos(text);
  form.prompts_after_answer =
      std::none_of(text.tags.begin(), text.tags.end(), [](const JinjaTag& tag) {
        return contains(tag.body, "add_generation_prompt") &&
               (contains(tag.body, "!= 'assistant'") || contains(tag.body, "!= \"assistant\""));
      });
  form.shows_thinking = any_body(text, "last_query_index") && any_body(text, "<think>");
  return form;
}

std::optional<InstructionForm> read_instruction(const JinjaText& text) {
  if (any_body(text, "[SYSTEM_PROMPT]") || !writes_only_tags(text)) return std::nullopt;
  InstructionForm form;
  std::string condition;
  for (const JinjaTag& tag : text.tags) {
    if (tag.body.starts_with("if ") || tag.body.starts_with("elif ")) condition = tag.body;
    if (is_single_literal(tag, "")) continue;
    if (is_user_turn(tag)) {
      const bool with_system =
          std::any_of(tag.terms.begin(), tag.terms.end(),
                      [](const JinjaTerm& term) { return mentions(term, "system_message"); });
      (with_system ? form.user_with_system : form.user) = tag.terms;
      if (with_system) form.system_goes_last = contains(condition, "loop.last");
    } else if (is_assistant_turn(tag)) {
      form.assistant = tag.terms;
    } else if (tag.is_output && tag.body == "bos_token") {
      form.starts_with_bos = true;
    }
    if (contains(tag.body, "<<SYS>>")) {
      form.has_system_block = true;
      form.trims_system =
          form.trims_system || std::any_of(tag.terms.begin(), tag.terms.end(),
                                           [](const JinjaTerm& term) { return trims(term); });
    }
  }
  if (form.user.empty() || form.assistant.empty()) return std::nullopt;
  return form;
}

std::optional<Llama3Form> read_llama3(const JinjaText& text) {
  const bool has_turns =
      any_body(text, "<|start_header_id|>") && any_body(text, "<|eot_id|>") &&
      any_single_literal(text, "<|start_header_id|>assistant<|end_header_id|>\n\n");
  if (!has_turns || !writes_only_tags(text)) return std::nullopt;
  Llama3Form form;
  form.starts_with_bos = writes_bos(text);
  form.always_prompts = !any_body(text, "add_generation_prompt");
  const std::string cutting = literal_that_starts_with(text, "Cutting Knowledge Date: ");
  if (!cutting.empty()) {
    const std::string date = fixed_date(text);
    if (date.empty()) return std::nullopt;
    form.knowledge_header = cutting + "Today Date: " + date + "\n\n";
  }
  return form;
}

std::optional<ZephyrForm> read_zephyr(const JinjaText& text) {
  ZephyrForm form;
  bool has_user = false;
  bool has_prompt = false;
  for (const JinjaTag& tag : text.tags) {
    if (!tag.is_output || tag.terms.empty() || !tag.terms[0].is_literal) continue;
    const bool is_turn = tag.terms.size() == 3 && mentions(tag.terms[1], "content") &&
                         tag.terms[2].text == "eos_token" && !trims(tag.terms[1]);
    if (is_turn && tag.terms[0].text == "<|user|>\n") {
      has_user = true;
      form.after_message = tag.text_after;
    } else if (tag.terms.size() == 1 && tag.terms[0].text.starts_with("<|assistant|>")) {
      has_prompt = true;
      form.generation_prompt = tag.terms[0].text + tag.text_after;
    }
  }
  if (!has_user || !has_prompt) return std::nullopt;
  return form;
}

std::string find_default_system(const JinjaText& text) {
  constexpr std::string_view kChatMl = "<|im_start|>system\n";
  constexpr std::string_view kChatMlEnd = "<|im_end|>";
  for (const JinjaTag& tag : text.tags) {
    if (tag.terms.size() != 1 || !tag.terms[0].is_literal) continue;
    const std::string& literal = tag.terms[0].text;
    const size_t end = literal.find(kChatMlEnd);
    if (tag.is_output && literal.starts_with(kChatMl) && end != std::string::npos) {
      return literal.substr(kChatMl.size(), end - kChatMl.size());
    }
    const std::string_view name = std::string_view(tag.body).substr(0, tag.body.find('='));
    if (!tag.is_output && contains(name, "system") && !literal.empty()) return literal;
  }
  return "";
}

}  // namespace headscope::model
