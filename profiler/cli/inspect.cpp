#include <algorithm>
#include <sstream>

#include "outputs/evaluation_file.h"
#include "outputs/input_error.h"
#include "profiler/cli/commands.h"
#include "profiler/cli/evaluation_table.h"
#include "profiler/cli/inspect_file.h"

namespace headscope::cli {
namespace {

// A tied output matrix is the embedding again, also where the file spells it out.
int64_t count_parameters(const model::WeightSource& weights, bool tied) {
  int64_t total = 0;
  for (const model::TensorInfo& tensor : weights.tensors()) {
    if (tied && tensor.name == "lm_head.weight") continue;
    int64_t size = 1;
    for (const int64_t dim : tensor.dims) size *= dim;
    total += size;
  }
  return total;
}

std::string stored_types(const model::WeightSource& weights) {
  std::map<std::string, int64_t> counts;
  for (const model::TensorInfo& tensor : weights.tensors()) ++counts[tensor.stored_as];
  std::string text;
  for (const auto& [type, count] : counts) {
    text += (text.empty() ? "" : ", ") + type + " (" + std::to_string(count) + ")";
  }
  return text;
}

std::string chat_words(const model::ChatTemplate& chat) {
  if (chat.text.empty()) return "none";
  return chat.format ? name_of(*chat.format) : "not recognised";
}

struct InspectOptions {
  std::string target;
  bool markdown = false;
};

// What the tokenizer is, or why it cannot be opened: a model without one is still worth a look.
std::string tokenizer_words(const model::ModelSource& source) {
  try {
    const auto tokenizer = source.open_tokenizer();
    return tokenizer->kind() + ", " + std::to_string(tokenizer->vocab_size()) + " tokens";
  } catch (const InputError& problem) {
    return std::string("unusable: ") + problem.what();
  }
}

void inspect_model(Session& session, const std::string& path) {
  const auto source = model::open_model_source(path);
  const model::ModelConfig& config = source->config();
  const ModelShape shape = config.shape();
  const int64_t bytes_per_element = config.checkpoint_dtype == "float32" ? 4 : 2;
  const std::string tokenizer = tokenizer_words(*source);
  int64_t windowed = 0;
  for (int64_t layer = 0; layer < shape.num_layers; ++layer)
    windowed += !shape.has_full_attention(layer);

  Json json{{"kind", "model"},
            {"name", source->name()},
            {"architecture", shape.architecture},
            {"num_layers", shape.num_layers},
            {"num_query_heads", shape.num_query_heads},
            {"num_kv_heads", shape.num_kv_heads},
            {"head_dim", shape.head_dim},
            {"hidden_size", shape.hidden_size},
            {"num_parameters", count_parameters(source->weights(), config.tie_word_embeddings)},
            {"kv_bytes_per_token", shape.kv_bytes_per_token(bytes_per_element)},
            {"vocab_size", shape.vocab_size},
            {"max_positions", shape.max_positions},
            {"num_sliding_window_layers", windowed},
            {"dtype", config.checkpoint_dtype},
            {"stored_as", stored_types(source->weights())},
            {"tokenizer", tokenizer},
            {"chat_format", chat_words(source->chat_template())},
            {"fingerprint", source->fingerprint()}};

  std::ostringstream text;
  text << source->name() << ": a " << shape.architecture << " model\n"
       << "  layers           " << shape.num_layers;
  if (windowed > 0) text << " (" << windowed << " with a sliding window)";
  text << "\n  heads            " << shape.num_query_heads << " query, " << shape.num_kv_heads
       << " KV (group size " << shape.query_group_size() << "), head_dim " << shape.head_dim
       << "\n  parameters       " << json["num_parameters"].get<int64_t>() << ", stored as "
       << json["stored_as"].get<std::string>() << "\n  positions        " << shape.max_positions
       << "\n  KV cache         " << shape.kv_bytes_per_token(bytes_per_element)
       << " bytes a token in " << config.checkpoint_dtype << ", " << shape.kv_bytes_per_token(4)
       << " in float32"
       << "\n  tokenizer        " << tokenizer << "\n  chat format      "
       << json["chat_format"].get<std::string>() << "\n  fingerprint      "
       << source->fingerprint();
  session.emit(json, text.str());
}

void emit_markdown(const Session& session, const std::string& path) {
  const Evaluation evaluation = outputs::read_evaluation(path);
  const std::string text = rows_markdown(evaluation);
  session.emit(Json{{"kind", "evaluation"}, {"markdown", text}}, text);
}

void run_inspect(Session& session, const InspectOptions& options) {
  session.apply_common();
  if (options.markdown) return emit_markdown(session, options.target);
  if (inspect_file(session, options.target)) return;
  inspect_model(session, options.target);
}

}  // namespace

void setup_inspect(CLI::App& app, Session& session) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App* sub = app.add_subcommand("inspect", "What is this model, profile, plan or head file?");
  sub->add_option("target", options->target, "A model (directory, GGUF, hub id) or a file")
      ->required();
  sub->add_flag("--markdown", options->markdown, "An evaluation's tables in Markdown, alone");
  add_common_options(*sub, session, {});
  sub->callback([options, &session] { run_inspect(session, *options); });
}

}  // namespace headscope::cli
