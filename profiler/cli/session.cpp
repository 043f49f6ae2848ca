#include "profiler/cli/session.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <c10/core/DeviceType.h>

#include <iostream>
#include <sstream>

#include "outputs/atomic_file.h"
#include "outputs/input_error.h"

namespace headscope::cli {
namespace {

std::string quoted(const std::string& argument) {
  if (argument.find_first_of(" \t\n\"'\\$&|;<>()*?") == std::string::npos && !argument.empty()) {
    return argument;
  }
  std::string text = "'";
  for (const char c : argument) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

}  // namespace

Session::Session(int argc, char** argv) : command_line_("headscope") {
  for (int i = 1; i < argc; ++i) command_line_ += " " + quoted(argv[i]);
}

void Session::apply_common() {
  console.set_quiet(common.quiet);
  if (common.threads > 0) at::set_num_threads(common.threads);
}

void Session::take_place(const profiler::RankPlace& place) {
  place_ = place;
  if (place.rank > 0) console.set_quiet(true);
}

void Session::emit(const Json& json, const std::string& text) const {
  if (place_.rank > 0) return;
  // Text that came out of a model may hold broken UTF-8; the JSON must stay valid.
  if (common.json) {
    std::cout << json.dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
  } else {
    std::cout << text;
    if (!text.empty() && text.back() != '\n') std::cout << '\n';
  }
  std::cout.flush();
  if (!std::cout) throw InputError("stdout: the result could not be written (is the disk full?)");
}

at::Device Session::device() const {
  const std::string& name = common.device;
  if (name == "cpu" || (name == "auto" && !at::globalContext().hasCUDA())) return at::kCPU;
  if (!at::globalContext().hasCUDA()) {
    throw DeviceError("--device " + name +
                      ": no CUDA device is usable here (none is present, or this program was built "
                      "without CUDA). Use --device cpu.");
  }
  const int64_t count = at::detail::getCUDAHooks().deviceCount();
  if (name == "auto" || name == "cuda") {
    return at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(place_.local_rank % count));
  }
  const int64_t index = std::stoll(name.substr(5));
  if (index >= count) {
    throw DeviceError("--device " + name + ": expected a device number below " +
                      std::to_string(count) + ". Use --device cuda:0 or cpu.");
  }
  return at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(index));
}

at::ScalarType Session::dtype(const model::ModelConfig& config, at::Device device) const {
  std::string name = common.dtype;
  if (name == "auto") name = device.is_cpu() ? "float32" : config.checkpoint_dtype;
  if (name == "bfloat16") return at::kBFloat16;
  if (name == "float16") return at::kHalf;
  return at::kFloat;
}

LoadedModel Session::load(const std::string& path, bool with_tokenizer) const {
  static_cast<void>(device());  // a device that is not there is said before any file is read
  return load(model::open_model_source(path), with_tokenizer);
}

LoadedModel Session::load(std::unique_ptr<model::ModelSource> source, bool with_tokenizer) const {
  LoadedModel loaded;
  const at::Device where = device();
  loaded.source = std::move(source);
  if (with_tokenizer) {
    loaded.tokenizer = loaded.source->open_tokenizer();
    loaded.chat = loaded.source->chat_template();
  }
  const model::ModelConfig& config = loaded.source->config();
  loaded.decoder = std::make_unique<model::Decoder>(config, loaded.source->weights(),
                                                    dtype(config, where), where);
  loaded.identity = model::identity_of(*loaded.source);
  return loaded;
}

Provenance Session::provenance() const {
  Provenance made = begin_provenance(command_line_);
  made.seed = common.seed;
  return made;
}

Provenance Session::provenance(const LoadedModel& model) const {
  Provenance made = provenance();
  made.device = model.decoder->device().str();
  const at::ScalarType type = model.decoder->dtype();
  made.dtype = type == at::kBFloat16 ? "bfloat16" : type == at::kHalf ? "float16" : "float32";
  return made;
}

void add_common_options(CLI::App& app, Session& session, std::initializer_list<Takes> takes) {
  CommonOptions& common = session.common;
  app.add_flag("--json", common.json, "Print one JSON object on stdout, nothing else");
  app.add_flag("--quiet", common.quiet, "No progress and no messages but errors");
  for (const Takes take : takes) {
    if (take == Takes::kOutput)
      app.add_flag("--force", common.force, "Overwrite an existing output");
    if (take == Takes::kDryRun) {
      app.add_flag("--dry-run", common.dry_run,
                   "Print the memory and time this would take, and stop");
    }
    if (take == Takes::kModel || take == Takes::kDevice) {
      app.add_option("--device", common.device, "auto, cpu, cuda or cuda:N")
          ->check(CLI::Validator(
              [](std::string& value) {
                const bool ok =
                    value == "auto" || value == "cpu" || value == "cuda" ||
                    (value.rfind("cuda:", 0) == 0 && value.size() > 5 && value.size() < 8 &&
                     value.find_first_not_of("0123456789", 5) == std::string::npos);
                return ok ? std::string() : "expected auto, cpu, cuda or cuda:N, found " + value;
              },
              "", ""))
          ->capture_default_str();
      app.add_option("--threads", common.threads, "CPU threads (0: as many as cores)")
          ->check(CLI::Range(0, 1024));
    }
    if (take == Takes::kModel) {
      app.add_option("--dtype", common.dtype,
                     "auto (float32 on CPU, the checkpoint's own on a GPU), …")
          ->check(CLI::IsMember({"auto", "float32", "bfloat16", "float16"}))
          ->capture_default_str();
      app.add_option("--seed", common.seed, "Seed of everything random")->capture_default_str();
    }
  }
}

std::vector<int64_t> read_token_ids(const std::string& path, int64_t vocab_size) {
  const Json json = Json::parse(outputs::read_file(path), nullptr, /*allow_exceptions=*/false);
  if (!json.is_array() || json.empty()) {
    throw InputError(path, "a JSON array of token ids, such as [1, 15, 27]",
                     json.is_discarded() ? "no valid JSON"
                     : json.is_array()   ? "an empty array"
                                         : json.type_name());
  }
  std::vector<int64_t> ids;
  for (size_t i = 0; i < json.size(); ++i) {
    const std::string where = path + ": element " + std::to_string(i);
    if (!json[i].is_number_integer()) throw InputError(where, "a token id", json[i].dump());
    ids.push_back(json[i].get<int64_t>());
    if (ids.back() < 0 || (vocab_size > 0 && ids.back() >= vocab_size)) {
      throw InputError(where, "an id from 0 to " + std::to_string(vocab_size - 1),
                       std::to_string(ids.back()));
    }
  }
  return ids;
}

std::string human_bytes(int64_t bytes) {
  const char* units[] = {"B", "kB", "MB", "GB", "TB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 999.5 && unit + 1 < std::size(units)) {
    value /= 1000;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.2f %s", value, units[unit]);
  return text;
}

}  // namespace headscope::cli
