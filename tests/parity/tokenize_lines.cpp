// Tokenizes many texts at once, for comparison with other tokenizers: reads a
// JSON list of texts from stdin and writes, per line, {"ids", "offsets",
// "decoded"} as JSON.
//   tokenize_lines TOKENIZER_JSON [--config FILE] [--no-special-tokens]
//   [--plain-specials]
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "model/tokenizer_json.h"
#include "outputs/input_error.h"

using nlohmann::json;

int main(int argc, char** argv) try {
  std::string tokenizer_path;
  std::string config_path;
  headscope::model::EncodeOptions options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--config" && i + 1 < argc) {
      config_path = argv[++i];
    } else if (argument == "--no-special-tokens") {
      options.add_special = false;
    } else if (argument == "--plain-specials") {
      options.parse_special = false;
    } else {
      tokenizer_path = argument;
    }
  }
  const auto tokenizer = headscope::model::tokenizer_from_json(tokenizer_path, config_path);
  const std::string input((std::istreambuf_iterator<char>(std::cin)),
                          std::istreambuf_iterator<char>());
  for (const json& text : json::parse(input)) {
    const auto encoding = tokenizer->encode(text.get<std::string>(), options);
    json offsets = json::array();
    for (const auto& span : encoding.offsets) offsets.push_back({span.begin, span.end});
    std::cout << json{{"ids", encoding.ids},
                      {"offsets", offsets},
                      {"decoded", tokenizer->decode(encoding.ids, /*skip_special=*/true)},
                      {"decoded_all", tokenizer->decode(encoding.ids, /*skip_special=*/false)}}
              << '\n';
  }
  return 0;
} catch (const headscope::InputError& error) {
  std::cerr << error.what() << '\n';
  return 2;
}
