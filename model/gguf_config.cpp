#include "model/gguf_config.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "model/config_check.h"
#include "model/dequantise.h"
#include "outputs/input_error.h"

namespace headscope::model {
namespace {

// Keys of one architecture: "llama.block_count" by "block_count".
class ArchKeys {
 public:
  explicit ArchKeys(const GgufFile& file)
      : file_(file), name_(file.find_string("general.architecture").value_or("")) {
    if (name_ != "llama" && name_ != "mistral" && name_ != "qwen2" && name_ != "qwen3") {
      throw InputError(file.file().path() + ", key \"general.architecture\"",
                       "one of llama, mistral, qwen2, qwen3",
                       name_.empty() ? "none" : "\"" + name_ + "\"");
    }
  }

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::string full(const char* key) const { return name_ + "." + key; }
  [[nodiscard]] std::string where(const char* key) const {
    return file_.file().path() + ", key \"" + full(key) + "\"";
  }
  [[nodiscard]] std::optional<int64_t> find_int(const char* key) const {
    return file_.find_int(full(key));
  }
  [[nodiscard]] std::optional<double> find_double(const char* key) const {
    return file_.find_double(full(key));
  }
  [[nodiscard]] std::optional<std::string> find_string(const char* key) const {
    return file_.find_string(full(key));
  }
  [[nodiscard]] int64_t require_int(const char* key) const {
    const std::optional<int64_t> value = find_int(key);
    if (!value) throw InputError(file_.file().path(), "key \"" + full(key) + "\"", "none");
    return *value;
  }
  // A number, or one number per layer that must be the same in every layer.
  [[nodiscard]] std::optional<int64_t> find_uniform(const char* key) const {
    const auto found = file_.keys().find(full(key));
    if (found == file_.keys().end()) return std::nullopt;
    const auto* list = std::get_if<std::vector<int64_t>>(&found->second);
    if (list == nullptr) return find_int(key);
    for (const int64_t value : *list) {
      if (value != list->front()) {
        throw InputError(where(key), "the same number in every layer",
                         std::to_string(list->front()) + " and " + std::to_string(value));
      }
    }
    return list->empty() ? std::nullopt : std::optional(list->front());
  }

 private:
  const GgufFile& file_;
  std::string name_;
};

void refuse_unsupported(const GgufFile& file, const ArchKeys& keys) {
  if (const int64_t parts = file.find_int("split.count").value_or(1); parts > 1) {
    throw InputError(file.file().path(), "a model in one file",
                     "one of " + std::to_string(parts) + " parts", "Merge the parts first.");
  }
  if (const int64_t experts = keys.find_int("expert_count").value_or(0); experts > 0) {
    throw InputError(keys.where("expert_count"), "a model without experts",
                     std::to_string(experts) + " experts");
  }
}

std::vector<float> read_frequency_factors(const GgufFile& file) {
  const GgufTensor* tensor = file.find_tensor("rope_freqs.weight");
  if (tensor == nullptr) return {};
  const std::string where = file.file().path() + ", tensor \"rope_freqs.weight\"";
  if (tensor->dims.size() != 1 || block_type_name(tensor->type) != "F32") {
    throw InputError(where, "one row of F32", block_type_name(tensor->type));
  }
  const uint64_t size = file.file().bytes().size();
  const auto num_bytes = static_cast<uint64_t>(tensor->dims[0]) * sizeof(float);
  if (file.data_begin() > size || tensor->offset > size - file.data_begin() ||
      num_bytes > size - file.data_begin() - tensor->offset) {
    throw InputError(where, "its data within the file", "data that passes the end",
                     "The file may be truncated.");
  }
  std::vector<float> factors(static_cast<size_t>(tensor->dims[0]));
  std::memcpy(factors.data(), file.file().bytes().data() + file.data_begin() + tensor->offset,
              num_bytes);
  return factors;
}

RopeConfig read_rope(const GgufFile& file, const ArchKeys& keys, int64_t max_positions) {
  RopeConfig rope;
  rope.theta = keys.find_double("rope.freq_base").value_or(10000.0);
  rope.frequency_factors = read_frequency_factors(file);
  const std::string type = keys.find_string("rope.scaling.type").value_or("none");
  if (type == "linear") {
    rope.scaling = RopeScaling::kLinear;
  } else if (type == "yarn") {
    rope.scaling = RopeScaling::kYarn;
  } else if (type != "none") {
    throw InputError(keys.where("rope.scaling.type"), "one of none, linear, yarn",
                     "\"" + type + "\"");
  }
  if (rope.scaling == RopeScaling::kNone) return rope;
  rope.factor = keys.find_double("rope.scaling.factor").value_or(1.0);
  if (rope.scaling == RopeScaling::kLinear) return rope;
  rope.original_max_positions =
      keys.find_int("rope.scaling.original_context_length").value_or(max_positions);
  rope.beta_fast = keys.find_double("rope.scaling.yarn_beta_fast").value_or(32.0);
  rope.beta_slow = keys.find_double("rope.scaling.yarn_beta_slow").value_or(1.0);
  // GGUF's factor comes on top of the default one, Hugging Face's replaces it.
  if (const auto factor = keys.find_double("rope.scaling.attn_factor"); factor && *factor != 1.0) {
    rope.attention_factor = *factor * (0.1 * std::log(std::max(rope.factor, 1.0)) + 1.0);
  }
  return rope;
}

int64_t read_head_dim(const ArchKeys& keys, const ModelConfig& config) {
  const std::optional<int64_t> key_length = keys.find_int("attention.key_length");
  const std::optional<int64_t> value_length = keys.find_int("attention.value_length");
  const std::optional<int64_t> rotated = keys.find_int("rope.dimension_count");
  int64_t head_dim = key_length.value_or(rotated.value_or(0));
  if (head_dim == 0) {
    if (config.num_query_heads < 1 || config.hidden_size % config.num_query_heads != 0) {
      throw InputError(keys.where("attention.head_count"),
                       "a divisor of embedding_length (" + std::to_string(config.hidden_size) + ")",
                       std::to_string(config.num_query_heads));
    }
    head_dim = config.hidden_size / config.num_query_heads;
  }
  if (value_length.value_or(head_dim) != head_dim) {
    throw InputError(keys.where("attention.value_length"),
                     std::to_string(head_dim) + ", as long as a key",
                     std::to_string(*value_length));
  }
  if (rotated.value_or(head_dim) != head_dim) {
    throw InputError(keys.where("rope.dimension_count"),
                     std::to_string(head_dim) + " (the whole head is rotated)",
                     std::to_string(*rotated));
  }
  return head_dim;
}

std::vector<int64_t> read_windows(const ArchKeys& keys, const ModelConfig& config) {
  int64_t window = keys.find_int("attention.sliding_window").value_or(0);
  if (window < 0 || window >= config.max_positions) window = 0;
  return std::vector<int64_t>(static_cast<size_t>(config.num_layers), window);
}

// What the weights are stored as; quantised ones are best served by bfloat16's range.
std::string dtype_of(const GgufFile& file) {
  const GgufTensor* tensor = file.find_tensor("blk.0.attn_q.weight");
  const std::string name = tensor == nullptr ? "F32" : block_type_name(tensor->type);
  if (name == "F32") return "float32";
  return name == "F16" ? "float16" : "bfloat16";
}

}  // namespace

ModelConfig read_gguf_config(const GgufFile& file) {
  const ArchKeys keys(file);
  refuse_unsupported(file, keys);
  ModelConfig config;
  config.architecture = keys.name();
  config.num_layers = keys.require_int("block_count");
  config.hidden_size = keys.require_int("embedding_length");
  config.max_positions = keys.require_int("context_length");
  config.intermediate_size = keys.find_uniform("feed_forward_length").value_or(0);
  config.num_query_heads = keys.find_uniform("attention.head_count").value_or(0);
  config.num_kv_heads =
      keys.find_uniform("attention.head_count_kv").value_or(config.num_query_heads);
  if (config.num_layers < 1 || config.num_layers > (1 << 14)) {
    throw InputError(keys.where("block_count"), "a number from 1 to 16384",
                     std::to_string(config.num_layers));
  }
  config.head_dim = read_head_dim(keys, config);
  const std::optional<double> eps = keys.find_double("attention.layer_norm_rms_epsilon");
  if (!eps) {
    throw InputError(file.file().path(),
                     "key \"" + keys.full("attention.layer_norm_rms_epsilon") + "\"", "none");
  }
  config.rms_norm_eps = *eps;
  config.rope = read_rope(file, keys, config.max_positions);
  const GgufTensor* embedding = file.find_tensor("token_embd.weight");
  if (embedding == nullptr) {
    throw InputError(file.file().path(), "a tensor \"token_embd.weight\"", "none of that name");
  }
  config.vocab_size = embedding->dims.front();
  config.tie_word_embeddings = file.find_tensor("output.weight") == nullptr;
  config.qkv_bias = keys.name() == "qwen2" || file.find_tensor("blk.0.attn_q.bias") != nullptr;
  config.output_bias = file.find_tensor("blk.0.attn_output.bias") != nullptr;
  config.mlp_bias = file.find_tensor("blk.0.ffn_gate.bias") != nullptr;
  config.qk_norm = keys.name() == "qwen3";
  config.attention_window = read_windows(keys, config);
  config.checkpoint_dtype = dtype_of(file);
  config.bos_token_id = file.find_int("tokenizer.ggml.bos_token_id");
  if (const auto eos = file.find_int("tokenizer.ggml.eos_token_id")) {
    config.eos_token_ids = {*eos};
  }
  check_config(config, file.file().path());
  return config;
}

}  // namespace headscope::model
