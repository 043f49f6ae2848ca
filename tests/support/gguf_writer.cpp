#include "tests/support/gguf_writer.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>

namespace headscope::testing {
namespace {

std::string text_bytes(const std::string& text) {
  return raw_bytes(static_cast<uint64_t>(text.size())) + text;
}

const std::map<std::string, std::string>& layer_names() {
  static const std::map<std::string, std::string> names = {
      {"input_layernorm", "attn_norm"},    {"post_attention_layernorm", "ffn_norm"},
      {"self_attn.q_proj", "attn_q"},      {"self_attn.k_proj", "attn_k"},
      {"self_attn.v_proj", "attn_v"},      {"self_attn.o_proj", "attn_output"},
      {"self_attn.q_norm", "attn_q_norm"}, {"self_attn.k_norm", "attn_k_norm"},
      {"mlp.gate_proj", "ffn_gate"},       {"mlp.up_proj", "ffn_up"},
      {"mlp.down_proj", "ffn_down"}};
  return names;
}

std::string gguf_name(const std::string& hf_name) {
  if (hf_name == "model.embed_tokens.weight") return "token_embd.weight";
  if (hf_name == "model.norm.weight") return "output_norm.weight";
  if (hf_name == "lm_head.weight") return "output.weight";
  const std::string rest = hf_name.substr(std::string("model.layers.").size());
  const size_t dot = rest.find('.');
  const size_t last = rest.rfind('.');
  return "blk." + rest.substr(0, dot) + "." +
         layer_names().at(rest.substr(dot + 1, last - dot - 1)) + rest.substr(last);
}

// Row half * (d / 2) + i of each head goes to 2 * i + half.
std::vector<float> permuted(const std::vector<float>& values, int64_t rows, int64_t head_dim) {
  const int64_t columns = static_cast<int64_t>(values.size()) / rows;
  std::vector<float> out(values.size());
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t within = row % head_dim;
    const int64_t target = row - within + 2 * (within % (head_dim / 2)) + within / (head_dim / 2);
    std::copy_n(values.begin() + row * columns, columns, out.begin() + target * columns);
  }
  return out;
}

std::vector<float> llama3_factors(const model::ModelConfig& config) {
  const model::RopeConfig& rope = config.rope;
  std::vector<float> factors;
  for (int64_t i = 0; i < config.head_dim / 2; ++i) {
    const double wavelength =
        2 * std::numbers::pi *
        std::pow(rope.theta, 2.0 * static_cast<double>(i) / static_cast<double>(config.head_dim));
    const auto context = static_cast<double>(rope.original_max_positions);
    const double smooth = (context / wavelength - rope.low_freq_factor) /
                          (rope.high_freq_factor - rope.low_freq_factor);
    double factor = 1.0 / ((1 - smooth) / rope.factor + smooth);
    if (wavelength < context / rope.high_freq_factor) factor = 1.0;
    if (wavelength > context / rope.low_freq_factor) factor = rope.factor;
    factors.push_back(static_cast<float>(factor));
  }
  return factors;
}

void add_config(GgufWriter& writer, const model::ModelConfig& config) {
  const std::string arch = config.architecture == "mistral" ? "llama" : config.architecture;
  const auto number = [&](const char* key, int64_t value) {
    writer.add_uint32(arch + "." + key, static_cast<uint32_t>(value));
  };
  writer.add_string("general.architecture", arch);
  number("block_count", config.num_layers);
  number("context_length", config.max_positions);
  number("embedding_length", config.hidden_size);
  number("feed_forward_length", config.intermediate_size);
  number("attention.head_count", config.num_query_heads);
  number("attention.head_count_kv", config.num_kv_heads);
  number("attention.key_length", config.head_dim);
  writer.add_float32(arch + ".attention.layer_norm_rms_epsilon",
                     static_cast<float>(config.rms_norm_eps));
  writer.add_float32(arch + ".rope.freq_base", static_cast<float>(config.rope.theta));
}

}  // namespace

void GgufWriter::add_raw(const std::string& key, uint32_t type, const std::string& value) {
  keys_ += text_bytes(key) + raw_bytes(type) + value;
  ++num_keys_;
}

void GgufWriter::add_uint32(const std::string& key, uint32_t value) {
  add_raw(key, 4, raw_bytes(value));
}

void GgufWriter::add_float32(const std::string& key, float value) {
  add_raw(key, 6, raw_bytes(value));
}

void GgufWriter::add_bool(const std::string& key, bool value) {
  add_raw(key, 7, raw_bytes(static_cast<uint8_t>(value ? 1 : 0)));
}

void GgufWriter::add_string(const std::string& key, const std::string& value) {
  add_raw(key, 8, text_bytes(value));
}

void GgufWriter::add_uint32s(const std::string& key, const std::vector<uint32_t>& values) {
  std::string bytes = raw_bytes(uint32_t{4}) + raw_bytes(static_cast<uint64_t>(values.size()));
  for (const uint32_t value : values) bytes += raw_bytes(value);
  add_raw(key, 9, bytes);
}

void GgufWriter::add_strings(const std::string& key, const std::vector<std::string>& values) {
  std::string bytes = raw_bytes(uint32_t{8}) + raw_bytes(static_cast<uint64_t>(values.size()));
  for (const std::string& value : values) bytes += text_bytes(value);
  add_raw(key, 9, bytes);
}

void GgufWriter::add_tensor(const std::string& name,
                            const std::vector<int64_t>& dims,
                            uint32_t type,
                            const std::string& bytes) {
  tensors_.push_back({name, dims, type, bytes});
}

std::string GgufWriter::bytes() const {
  const auto padded = [&](uint64_t size) { return (size + alignment - 1) / alignment * alignment; };
  std::string out = magic + raw_bytes(version) +
                    raw_bytes(static_cast<uint64_t>(tensors_.size()) + extra_tensors) +
                    raw_bytes(num_keys_ + extra_keys) + keys_;
  uint64_t offset = 0;
  for (const Tensor& tensor : tensors_) {
    out += text_bytes(tensor.name) + raw_bytes(static_cast<uint32_t>(tensor.dims.size()));
    for (size_t i = tensor.dims.size(); i > 0; --i) {
      out += raw_bytes(static_cast<uint64_t>(tensor.dims[i - 1]));
    }
    const bool is_last = &tensor == &tensors_.back();
    out += raw_bytes(tensor.type) + raw_bytes(offset + (is_last ? offset_shift : 0));
    offset = padded(offset + tensor.bytes.size());
  }
  out.resize(padded(out.size()), '\0');
  for (const Tensor& tensor : tensors_) {
    out += tensor.bytes;
    out.resize(padded(out.size()), '\0');
  }
  return out;
}

GgufWriter gguf_copy(const model::ModelConfig& config,
                     const std::vector<RawTensor>& tensors,
                     const std::string& dtype) {
  static const std::map<std::string, uint32_t> kTypes = {{"F32", 0}, {"F16", 1}, {"BF16", 30}};
  GgufWriter writer;
  add_config(writer, config);
  const bool is_permuted = config.architecture == "llama" || config.architecture == "mistral";
  for (const RawTensor& tensor : tensors) {
    std::vector<float> values = values_of(tensor);
    const std::string name = gguf_name(tensor.name);
    const bool is_rotated =
        name.find(".attn_q.") != std::string::npos || name.find(".attn_k.") != std::string::npos;
    if (is_permuted && is_rotated) values = permuted(values, tensor.dims[0], config.head_dim);
    const std::string stored = tensor.dims.size() == 1 ? "F32" : dtype;
    writer.add_tensor(name, tensor.dims, kTypes.at(stored),
                      make_tensor(name, tensor.dims, values, stored).bytes);
  }
  if (config.rope.scaling == model::RopeScaling::kLlama3) {
    const std::vector<float> factors = llama3_factors(config);
    writer.add_tensor("rope_freqs.weight", {config.head_dim / 2}, 0,
                      make_tensor("", {}, factors).bytes);
  }
  return writer;
}

}  // namespace headscope::testing
