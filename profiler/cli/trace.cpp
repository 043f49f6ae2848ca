#include <ATen/ops/tensor.h>

#include <algorithm>

#include "model/trace_recorder.h"
#include "outputs/atomic_file.h"
#include "outputs/hdf5_file.h"
#include "outputs/input_error.h"
#include "profiler/cli/commands.h"
#include "runtime/full_kv_cache.h"

namespace headscope::cli {
namespace {

struct TraceCommand {
  std::string model;
  std::string tokens;
  std::string out;
  std::vector<std::string> what = {"logits"};
  std::vector<int64_t> layers;
};

constexpr int64_t kChunkTokens = 512;

std::set<model::WatchPoint> watch_points(const std::vector<std::string>& what) {
  std::set<model::WatchPoint> points;
  for (const std::string& name : what) {
    if (name == "q") points.insert(model::WatchPoint::kQ);
    if (name == "k") points.insert(model::WatchPoint::kK);
    if (name == "v") points.insert(model::WatchPoint::kV);
    if (name == "z") points.insert(model::WatchPoint::kZ);
  }
  return points;
}

void append(outputs::Hdf5Writer& file, const std::string& name, const at::Tensor& rows) {
  const at::Tensor plain = rows.to(at::kCPU, at::kFloat).contiguous();
  outputs::Dims row_dims(plain.sizes().begin() + 1, plain.sizes().end());
  file.append_rows(name, {plain.const_data_ptr<float>(), static_cast<size_t>(plain.numel())},
                   row_dims);
}

std::string dataset_name(int64_t layer, char what) {
  char name[32];
  std::snprintf(name, sizeof name, "layer_%02lld/%c", static_cast<long long>(layer), what);
  return name;
}

// Forward in chunks; every chunk's rows go to the file and are forgotten.
void trace(Session& session,
           const TraceCommand& command,
           const LoadedModel& model,
           const std::vector<int64_t>& ids,
           outputs::Hdf5Writer& file) {
  const bool wants_logits =
      std::find(command.what.begin(), command.what.end(), "logits") != command.what.end();
  const std::set<model::WatchPoint> points = watch_points(command.what);
  runtime::FullKvCache cache(model.shape().num_layers);
  session.console.begin("tokens", static_cast<int64_t>(ids.size()));
  for (size_t begin = 0; begin < ids.size(); begin += kChunkTokens) {
    const size_t end = std::min(ids.size(), begin + kChunkTokens);
    model::TraceRecorder recorder(points, {command.layers.begin(), command.layers.end()});
    model::ForwardOptions options;
    options.logits = wants_logits ? model::LogitRows::kAll : model::LogitRows::kNone;
    if (!points.empty()) options.observer = &recorder;
    const at::Tensor tokens =
        at::tensor(std::vector<int64_t>(ids.begin() + static_cast<int64_t>(begin),
                                        ids.begin() + static_cast<int64_t>(end)))
            .unsqueeze(0)
            .to(model.decoder->device());
    const at::Tensor logits = model.decoder->forward(tokens, cache, options);
    if (wants_logits) append(file, "logits", logits[0]);
    for (const int64_t layer : recorder.layers()) {
      for (const model::WatchPoint point : points) {
        const char letter = "qkvz"[static_cast<int>(point)];
        append(file, dataset_name(layer, letter), recorder.recorded(layer, point));
      }
    }
    session.console.advance(static_cast<int64_t>(end));
    if (session.console.interrupted()) throw Interrupted("interrupted: nothing was written");
  }
}

void run_trace(Session& session, const TraceCommand& command) {
  session.apply_common();
  outputs::check_output_path(command.out, session.common.force);
  auto source = model::open_model_source(command.model);
  const std::vector<int64_t> ids = read_token_ids(command.tokens, source->config().vocab_size);
  for (const int64_t layer : command.layers) {
    if (layer >= source->config().num_layers) {
      throw InputError("--layers", "layers 0 to " + std::to_string(source->config().num_layers - 1),
                       std::to_string(layer));
    }
  }
  const LoadedModel model = session.load(std::move(source), /*with_tokenizer=*/false);
  outputs::Hdf5Writer file(command.out, session.common.force);
  file.attribute("", "format", "headscope.trace");
  file.attribute("", "format_version", "1.0");
  file.attribute("", "model", model.identity.name);
  file.attribute("", "fingerprint", model.identity.fingerprint);
  trace(session, command, model, ids, file);
  file.commit();
  session.emit(Json{{"out", command.out}, {"num_tokens", ids.size()}, {"what", command.what}},
               "wrote " + command.out);
}

}  // namespace

void setup_trace(CLI::App& app, Session& session) {
  auto command = std::make_shared<TraceCommand>();
  CLI::App* sub =
      app.add_subcommand("trace", "Writes logits, queries, keys, values and attention outputs");
  sub->add_option("model", command->model, "Model directory, GGUF file or cached hub id")
      ->required();
  sub->add_option("--tokens", command->tokens, "A JSON array of token ids")->required();
  sub->add_option("--what", command->what, "Among logits, q, k, v, z, comma-separated")
      ->delimiter(',')
      ->check(CLI::IsMember({"logits", "q", "k", "v", "z"}))
      ->capture_default_str();
  sub->add_option("--layers", command->layers, "Layers, comma-separated (all by default)")
      ->delimiter(',')
      ->check(CLI::NonNegativeNumber);
  sub->add_option("--out", command->out, "HDF5 file to write")->required();
  add_common_options(*sub, session, {Takes::kOutput, Takes::kModel});
  sub->callback([command, &session] { run_trace(session, *command); });
}

}  // namespace headscope::cli
