#include <algorithm>
#include <filesystem>
#include <mutex>
#include <utility>
#include <vector>

#include "model/checkpoint_text.h"
#include "model/config_check.h"
#include "model/fingerprint.h"
#include "model/gguf.h"
#include "model/gguf_config.h"
#include "model/gguf_weights.h"
#include "model/hf_config.h"
#include "model/hub_cache.h"
#include "model/model.h"
#include "model/safetensors.h"
#include "outputs/input_error.h"

namespace headscope::model {
namespace {

namespace fs = std::filesystem;

// What the user's word stands for on disk.
struct Location {
  std::string name;  // last part of the path or hub id
  std::string path;
  bool is_gguf = false;
};

std::vector<std::string> gguf_files_in(const std::string& directory) {
  std::vector<std::string> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
    if (entry.path().extension() == ".gguf") files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// A directory with a Hugging Face checkpoint or tokenizer, or (as hub repositories of GGUF files
// have it) with one GGUF file and nothing else of ours.
Location locate_in(const std::string& directory, const std::string& name) {
  const fs::path root(directory);
  if (fs::exists(root / "config.json") || fs::exists(root / "tokenizer.json")) {
    return {name, directory, false};
  }
  const std::vector<std::string> files = gguf_files_in(directory);
  if (files.size() == 1) return {fs::path(files[0]).filename().string(), files[0], true};
  std::string found = files.empty() ? "neither" : "several GGUF files:";
  for (const std::string& file : files) found += " " + fs::path(file).filename().string();
  throw InputError(directory, "config.json or one .gguf file", found,
                   files.empty() ? "" : "Name one of the files.");
}

Location locate(const std::string& model) {
  if (model.empty()) throw InputError("MODEL", "a directory, a .gguf file or a hub id", "nothing");
  std::error_code ignored;
  const fs::path path(model);
  if (fs::is_directory(path, ignored)) {
    const fs::path full = fs::canonical(path, ignored);
    return locate_in(model, full.filename().string());
  }
  if (fs::exists(path, ignored)) {
    if (path.extension() != ".gguf") {
      throw InputError(model, "a directory, a .gguf file or a hub id", "another kind of file");
    }
    return {path.filename().string(), model, true};
  }
  if (!looks_like_hub_id(model)) {
    throw InputError(model, "a directory, a .gguf file or a hub id", "no such file or directory");
  }
  return locate_in(find_cached_snapshot(model), model.substr(model.rfind('/') + 1));
}

std::string dtype_of(const WeightSource& weights) {
  for (const TensorInfo& info : weights.tensors()) {
    if (!info.name.ends_with("q_proj.weight")) continue;
    if (info.stored_as == "F16") return "float16";
    if (info.stored_as == "BF16") return "bfloat16";
  }
  return "float32";
}

// The parts that both kinds of source share.
class OpenedSource : public ModelSource {
 public:
  OpenedSource(Location location, ModelConfig config, std::unique_ptr<WeightSource> weights)
      : location_(std::move(location)), config_(std::move(config)), weights_(std::move(weights)) {
    check_weights(config_, *weights_, location_.path);
    if (config_.checkpoint_dtype.empty()) config_.checkpoint_dtype = dtype_of(*weights_);
  }

  std::string name() const override { return location_.name; }
  std::string path() const override { return location_.path; }
  const ModelConfig& config() const override { return config_; }
  const WeightSource& weights() const override { return *weights_; }
  std::string fingerprint() const override {
    std::call_once(hashed_, [&] { fingerprint_ = fingerprint_of(config_, *weights_); });
    return fingerprint_;
  }

 private:
  Location location_;
  ModelConfig config_;
  std::unique_ptr<WeightSource> weights_;
  mutable std::once_flag hashed_;
  mutable std::string fingerprint_;
};

class DirectorySource : public OpenedSource {
 public:
  explicit DirectorySource(const Location& location)
      : OpenedSource(location, read_hf_config(location.path), open_safetensors(location.path)) {}

  std::unique_ptr<Tokenizer> open_tokenizer() const override { return open_tokenizer_in(path()); }
  ChatTemplate chat_template() const override { return read_chat_template_in(path()); }
};

class GgufSource : public OpenedSource {
 public:
  GgufSource(const Location& location, std::shared_ptr<const GgufFile> file)
      : OpenedSource(location, read_gguf_config(*file), open_gguf_weights(file)),
        file_(std::move(file)) {}

  std::unique_ptr<Tokenizer> open_tokenizer() const override { return open_tokenizer_in(*file_); }
  ChatTemplate chat_template() const override { return read_chat_template_in(*file_); }

 private:
  std::shared_ptr<const GgufFile> file_;
};

}  // namespace

std::unique_ptr<ModelSource> open_model_source(const std::string& model) {
  const Location location = locate(model);
  if (location.is_gguf) {
    return std::make_unique<GgufSource>(location, std::make_shared<GgufFile>(location.path));
  }
  return std::make_unique<DirectorySource>(location);
}

TokenizerFiles open_tokenizer_of(const std::string& model) {
  const Location location = locate(model);
  if (location.is_gguf) {
    const GgufFile file(location.path);
    return {open_tokenizer_in(file), read_chat_template_in(file)};
  }
  return {open_tokenizer_in(location.path), read_chat_template_in(location.path)};
}

ModelIdentity identity_of(const ModelSource& source) {
  return {source.name(), source.fingerprint(), source.config().shape()};
}

}  // namespace headscope::model
