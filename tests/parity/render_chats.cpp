// Renders many chats at once, for comparison with Jinja: reads a JSON list of {"template", "bos",
// "eos", "messages", "prompt"} from stdin and writes, per line, {"format", "rendered"} or
// {"format", "error"} as JSON; format "" is a template that is not recognised.
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "model/chat_template.h"
#include "outputs/input_error.h"

namespace model = headscope::model;
using nlohmann::json;

namespace {

json render(const json& chat) {
  const auto form = model::recognise_chat_template(chat.at("template").get<std::string>(),
                                                   chat.at("bos").get<std::string>(),
                                                   chat.at("eos").get<std::string>());
  std::vector<model::ChatMessage> messages;
  for (const json& message : chat.at("messages")) {
    messages.push_back(
        {message.at("role").get<std::string>(), message.at("content").get<std::string>()});
  }
  json out{{"format", form.format ? model::name_of(*form.format) : ""}};
  try {
    out["rendered"] = model::render_chat(form, messages, chat.at("prompt").get<bool>());
  } catch (const headscope::InputError& error) {
    out["error"] = error.what();
  }
  return out;
}

}  // namespace

int main() {
  const std::string input((std::istreambuf_iterator<char>(std::cin)),
                          std::istreambuf_iterator<char>());
  for (const json& chat : json::parse(input)) std::cout << render(chat) << '\n';
  return 0;
}
