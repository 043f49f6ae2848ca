// What every subcommand shares: the common options, where results and messages go, and how a model
// is opened under those options.
#pragma once

#include <ATen/core/Tensor.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "model/model.h"
#include "outputs/provenance.h"
#include "profiler/cli/console.h"
#include "profiler/rank_place.h"

namespace headscope::cli {

using Json = nlohmann::ordered_json;

// No usable device, or out of its memory (exit code 3).
class DeviceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The user asked to stop; what was done is saved (exit code 130).
class Interrupted : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct CommonOptions {
  std::string device = "auto";  // auto, cpu, cuda, cuda:N
  std::string dtype = "auto";   // auto, float32, bfloat16, float16
  int threads = 0;              // 0 = LibTorch's choice
  uint64_t seed = 0;
  bool json = false;
  bool quiet = false;
  bool dry_run = false;
  bool force = false;
};

// A model with its weights loaded, and its tokenizer where the command needs one.
struct LoadedModel {
  std::unique_ptr<model::ModelSource> source;
  std::unique_ptr<model::Decoder> decoder;
  std::unique_ptr<model::Tokenizer> tokenizer;
  model::ChatTemplate chat;
  ModelIdentity identity;
  [[nodiscard]] ModelShape shape() const { return source->config().shape(); }
};

class Session {
 public:
  Session(int argc, char** argv);

  CommonOptions common;
  Console console;

  // Called by a subcommand's run(): applies --threads and --quiet.
  void apply_common();

  // This process is one of several that share a run: rank 0 alone shows progress and results, and
  // on a machine with several GPUs each rank takes its own unless --device names one.
  void take_place(const profiler::RankPlace& place);

  // The result on stdout: `text` for people, or `json` under --json.
  void emit(const Json& json, const std::string& text) const;

  [[nodiscard]] at::Device device() const;  // DeviceError where it is not there
  [[nodiscard]] at::ScalarType dtype(const model::ModelConfig& config, at::Device device) const;
  [[nodiscard]] LoadedModel load(const std::string& path, bool with_tokenizer) const;
  // The same for a checkpoint already opened, so that its headers are read and checked once.
  [[nodiscard]] LoadedModel load(std::unique_ptr<model::ModelSource> source,
                                 bool with_tokenizer) const;

  // Command line, seed, device and dtype filled in.
  [[nodiscard]] Provenance provenance(const LoadedModel& model) const;
  [[nodiscard]] Provenance provenance() const;

 private:
  std::string command_line_;
  profiler::RankPlace place_;
};

// Which of the common options a subcommand takes.
// kModel includes kDevice.
enum class Takes { kOutput = 1, kModel = 2, kDryRun = 4, kDevice = 8 };
void add_common_options(CLI::App& app, Session& session, std::initializer_list<Takes> takes);

// Reads a JSON array of token ids; ids outside 0..vocab_size-1 are refused.
[[nodiscard]] std::vector<int64_t> read_token_ids(const std::string& path, int64_t vocab_size);

// "12.3 MB" style, powers of 1000.
[[nodiscard]] std::string human_bytes(int64_t bytes);

}  // namespace headscope::cli
