#include "tests/support/tiny_checkpoint.h"

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>
#include <stdexcept>

#include "model/config_check.h"

namespace headscope::testing {
namespace {

using nlohmann::json;

template <typename T>
std::string as_bytes(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

template <typename T>
std::string rounded_bytes(const std::vector<float>& values) {
  std::vector<uint16_t> bits;
  bits.reserve(values.size());
  for (const float value : values) bits.push_back(T(value).x);
  return as_bytes(bits);
}

}  // namespace

RawTensor make_tensor(const std::string& name,
                      const std::vector<int64_t>& dims,
                      const std::vector<float>& values,
                      const std::string& dtype) {
  if (dtype == "F32") return {name, dims, dtype, as_bytes(values)};
  if (dtype == "F16") return {name, dims, dtype, rounded_bytes<c10::Half>(values)};
  return {name, dims, dtype, rounded_bytes<c10::BFloat16>(values)};
}

std::vector<float> values_of(const RawTensor& tensor) {
  const size_t unit = tensor.dtype == "F32" ? 4 : 2;
  std::vector<float> values(tensor.bytes.size() / unit);
  for (size_t i = 0; i < values.size(); ++i) {
    const char* at = tensor.bytes.data() + i * unit;
    uint16_t bits = 0;
    if (unit == 4) {
      std::memcpy(&values[i], at, unit);
      continue;
    }
    std::memcpy(&bits, at, unit);
    values[i] = tensor.dtype == "F16"
                    ? static_cast<float>(c10::Half(bits, c10::Half::from_bits()))
                    : static_cast<float>(c10::BFloat16(bits, c10::BFloat16::from_bits()));
  }
  return values;
}

void write_file(const std::string& path, const std::string& bytes) {
  // A new file each time: file systems write a truncated one back at once, thousands of times slow.
  std::filesystem::remove(path);
  std::ofstream stream(path, std::ios::binary);
  stream << bytes;
}

std::string safetensors_bytes(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes + header + data;
}

std::string safetensors_bytes(const std::vector<RawTensor>& tensors) {
  json header = {{"__metadata__", {{"format", "pt"}}}};
  std::string data;
  for (const RawTensor& tensor : tensors) {
    header[tensor.name] = {{"dtype", tensor.dtype},
                           {"shape", tensor.dims},
                           {"data_offsets", {data.size(), data.size() + tensor.bytes.size()}}};
    data += tensor.bytes;
  }
  return safetensors_bytes(header.dump(), data);
}

model::ModelConfig tiny_config(const std::string& architecture) {
  model::ModelConfig config;
  config.architecture = architecture;
  config.num_layers = 2;
  config.num_query_heads = 4;
  config.num_kv_heads = 2;
  config.head_dim = 8;
  config.hidden_size = 32;
  config.intermediate_size = 64;
  config.vocab_size = 48;
  config.max_positions = 128;
  config.rms_norm_eps = 1e-5;
  config.qkv_bias = architecture == "qwen2";
  config.qk_norm = architecture == "qwen3";
  config.attention_window = {0, 0};
  return config;
}

std::string config_json(const model::ModelConfig& config) {
  json object = {{"model_type", config.architecture},
                 {"num_hidden_layers", config.num_layers},
                 {"num_attention_heads", config.num_query_heads},
                 {"num_key_value_heads", config.num_kv_heads},
                 {"head_dim", config.head_dim},
                 {"hidden_size", config.hidden_size},
                 {"intermediate_size", config.intermediate_size},
                 {"vocab_size", config.vocab_size},
                 {"max_position_embeddings", config.max_positions},
                 {"rms_norm_eps", config.rms_norm_eps},
                 {"rope_theta", config.rope.theta},
                 {"tie_word_embeddings", config.tie_word_embeddings},
                 {"sliding_window", nullptr}};
  if (config.architecture == "llama") {
    object["attention_bias"] = config.qkv_bias;
    object["mlp_bias"] = config.mlp_bias;
  }
  if (config.rope.scaling == model::RopeScaling::kLlama3) {
    object["rope_scaling"] = {
        {"rope_type", "llama3"},
        {"factor", config.rope.factor},
        {"low_freq_factor", config.rope.low_freq_factor},
        {"high_freq_factor", config.rope.high_freq_factor},
        {"original_max_position_embeddings", config.rope.original_max_positions}};
  }
  return object.dump(2);
}

std::vector<RawTensor> random_tensors(const model::ModelConfig& config,
                                      uint64_t seed,
                                      const std::string& dtype) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<float> normal(0.0F, 0.05F);
  std::vector<RawTensor> tensors;
  for (const model::ExpectedTensor& expected : model::expected_tensors(config)) {
    const auto size = std::accumulate(expected.dims.begin(), expected.dims.end(), int64_t{1},
                                      std::multiplies<>());
    std::vector<float> values(static_cast<size_t>(size));
    for (float& value : values) {
      value = static_cast<float>(c10::BFloat16(normal(generator)));
    }
    tensors.push_back(make_tensor(expected.name, expected.dims, values, dtype));
  }
  return tensors;
}

void write_checkpoint(const std::filesystem::path& directory,
                      const model::ModelConfig& config,
                      const std::vector<RawTensor>& tensors,
                      int num_shards) {
  write_file((directory / "config.json").string(), config_json(config));
  if (num_shards == 1) {
    write_file((directory / "model.safetensors").string(), safetensors_bytes(tensors));
    return;
  }
  json index = {{"metadata", json::object()}, {"weight_map", json::object()}};
  const auto count = static_cast<size_t>(num_shards);
  for (size_t shard = 0; shard < count; ++shard) {
    const std::string name = "model-0000" + std::to_string(shard + 1) + "-of-0000" +
                             std::to_string(num_shards) + ".safetensors";
    std::vector<RawTensor> part;
    for (size_t i = shard; i < tensors.size(); i += count) {
      part.push_back(tensors[i]);
      index["weight_map"][tensors[i].name] = name;
    }
    write_file((directory / name).string(), safetensors_bytes(part));
  }
  write_file((directory / "model.safetensors.index.json").string(), index.dump());
}

}  // namespace headscope::testing
