#include <sstream>

#include "outputs/atomic_file.h"
#include "outputs/input_error.h"
#include "profiler/cli/commands.h"

namespace headscope::cli {
namespace {

struct TokenizeOptions {
  std::string model;
  std::string text;
  std::string file;
  std::string decode;
  bool no_special = false;
  bool chat = false;
};

void run_tokenize(Session& session, const TokenizeOptions& options, bool has_text) {
  session.apply_common();
  const int sources = int{has_text} + int{!options.file.empty()} + int{!options.decode.empty()};
  if (sources != 1) {
    throw InputError("tokenize", "exactly one of --text, --file and --decode",
                     std::to_string(sources) + " of them");
  }
  const model::TokenizerFiles files = model::open_tokenizer_of(options.model);
  if (!options.decode.empty()) {
    const auto ids = read_token_ids(options.decode, files.tokenizer->vocab_size());
    const std::string text = files.tokenizer->decode(ids, /*skip_special=*/options.no_special);
    session.emit(Json{{"text", text}}, text);
    return;
  }
  std::string text = has_text ? options.text : outputs::read_file(options.file);
  model::EncodeOptions encode;
  encode.add_special = !options.no_special;
  if (options.chat) {
    text = render_chat(files.chat, {{"user", text}});
    encode.add_special = false;
  }
  const model::Encoding encoding = files.tokenizer->encode(text, encode);
  std::ostringstream line;
  for (size_t i = 0; i < encoding.ids.size(); ++i) line << (i ? " " : "") << encoding.ids[i];
  session.emit(Json{{"ids", encoding.ids}}, line.str());
}

}  // namespace

void setup_tokenize(CLI::App& app, Session& session) {
  auto options = std::make_shared<TokenizeOptions>();
  CLI::App* sub = app.add_subcommand("tokenize", "Text to token ids and back");
  sub->add_option("model", options->model, "Model directory, GGUF file or cached hub id")
      ->required();
  CLI::Option* text = sub->add_option("--text", options->text, "The text");
  sub->add_option("--file", options->file, "A file with the text");
  sub->add_option("--decode", options->decode, "A JSON array of ids, to be turned into text");
  sub->add_flag("--no-special", options->no_special,
                "Add no special tokens; with --decode, leave them out");
  sub->add_flag("--chat", options->chat, "Wrap the text as a user's message in the chat format");
  add_common_options(*sub, session, {});
  sub->callback([options, text, &session] { run_tokenize(session, *options, text->count() > 0); });
}

}  // namespace headscope::cli
