#include "model/config_check.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string_view>

#include "outputs/input_error.h"

namespace headscope::model {
namespace {

struct SizeRange {
  const char* field;  // as config.json spells it
  int64_t value;
  int64_t most;
};

void check_sizes(const ModelConfig& c, const std::string& where) {
  // Upper bounds far above any model: products of two of them still fit 64 bits.
  const SizeRange sizes[] = {{"num_hidden_layers", c.num_layers, 1 << 14},
                             {"num_attention_heads", c.num_query_heads, 1 << 14},
                             {"num_key_value_heads", c.num_kv_heads, 1 << 14},
                             {"head_dim", c.head_dim, 1 << 14},
                             {"hidden_size", c.hidden_size, 1 << 24},
                             {"intermediate_size", c.intermediate_size, 1 << 26},
                             {"vocab_size", c.vocab_size, 1 << 28},
                             {"max_position_embeddings", c.max_positions, int64_t{1} << 32}};
  for (const SizeRange& size : sizes) {
    if (size.value < 1 || size.value > size.most) {
      throw InputError(where + ", " + size.field, "a number from 1 to " + std::to_string(size.most),
                       std::to_string(size.value));
    }
  }
  if (c.num_query_heads % c.num_kv_heads != 0) {
    throw InputError(where + ", num_attention_heads",
                     "a multiple of num_key_value_heads (" + std::to_string(c.num_kv_heads) + ")",
                     std::to_string(c.num_query_heads));
  }
  if (c.head_dim % 2 != 0) {
    throw InputError(where + ", head_dim", "an even number", std::to_string(c.head_dim));
  }
}

void check_positive(double value, const char* field, const std::string& where) {
  if (!std::isfinite(value) || value <= 0) {
    throw InputError(where + ", " + field, "a positive number", std::to_string(value));
  }
}

void check_rope(const RopeConfig& rope, int64_t head_dim, const std::string& where) {
  check_positive(rope.theta, "rope_theta", where);
  if (rope.scaling != RopeScaling::kNone) check_positive(rope.factor, "rope factor", where);
  if (rope.scaling == RopeScaling::kLlama3 || rope.scaling == RopeScaling::kYarn) {
    check_positive(static_cast<double>(rope.original_max_positions),
                   "rope original_max_position_embeddings", where);
  }
  if (rope.scaling == RopeScaling::kLlama3) {
    check_positive(rope.low_freq_factor, "rope low_freq_factor", where);
    if (!(rope.high_freq_factor > rope.low_freq_factor) || !std::isfinite(rope.high_freq_factor)) {
      throw InputError(where + ", rope high_freq_factor", "more than low_freq_factor",
                       std::to_string(rope.high_freq_factor));
    }
  }
  if (rope.scaling == RopeScaling::kYarn) {
    check_positive(rope.beta_fast, "rope beta_fast", where);
    check_positive(rope.beta_slow, "rope beta_slow", where);
    if (rope.attention_factor) {
      check_positive(*rope.attention_factor, "rope attention_factor", where);
    }
  }
  const size_t num_factors = rope.frequency_factors.size();
  if (num_factors != 0 && num_factors != static_cast<size_t>(head_dim / 2)) {
    throw InputError(where + ", rotary factors",
                     std::to_string(head_dim / 2) + " values (half of head_dim)",
                     std::to_string(num_factors));
  }
  for (const float factor : rope.frequency_factors) {
    check_positive(static_cast<double>(factor), "rotary factors", where);
  }
}

bool ends_with(std::string_view text, std::string_view end) {
  return text.ends_with(end);
}

// Buffers that older exports carry along, and an output matrix that the embedding replaces.
bool is_harmless(const std::string& name, const ModelConfig& config) {
  return ends_with(name, ".rotary_emb.inv_freq") || ends_with(name, ".attn_rot_embd") ||
         ends_with(name, ".attn_rot_embd.weight") || ends_with(name, ".self_attn.masked_bias") ||
         name == "rope_factors_long.weight" ||
         (config.tie_word_embeddings && name == "lm_head.weight");
}

std::string dims_text(const std::vector<int64_t>& dims) {
  std::string text = "[";
  for (const int64_t dim : dims) text += (text.size() > 1 ? ", " : "") + std::to_string(dim);
  return text + "]";
}

void add_linear(std::vector<ExpectedTensor>& tensors,
                const std::string& name,
                int64_t rows,
                int64_t columns,
                bool has_bias) {
  tensors.push_back({name + ".weight", {rows, columns}});
  if (has_bias) tensors.push_back({name + ".bias", {rows}});
}

void add_layer(std::vector<ExpectedTensor>& tensors, const ModelConfig& c, int64_t layer) {
  const std::string prefix = "model.layers." + std::to_string(layer) + ".";
  const std::string attention = prefix + "self_attn.";
  const int64_t query_rows = c.num_query_heads * c.head_dim;
  const int64_t kv_rows = c.num_kv_heads * c.head_dim;
  tensors.push_back({prefix + "input_layernorm.weight", {c.hidden_size}});
  tensors.push_back({prefix + "post_attention_layernorm.weight", {c.hidden_size}});
  add_linear(tensors, attention + "q_proj", query_rows, c.hidden_size, c.qkv_bias);
  add_linear(tensors, attention + "k_proj", kv_rows, c.hidden_size, c.qkv_bias);
  add_linear(tensors, attention + "v_proj", kv_rows, c.hidden_size, c.qkv_bias);
  add_linear(tensors, attention + "o_proj", c.hidden_size, query_rows, c.output_bias);
  if (c.qk_norm) {
    tensors.push_back({attention + "q_norm.weight", {c.head_dim}});
    tensors.push_back({attention + "k_norm.weight", {c.head_dim}});
  }
  add_linear(tensors, prefix + "mlp.gate_proj", c.intermediate_size, c.hidden_size, c.mlp_bias);
  add_linear(tensors, prefix + "mlp.up_proj", c.intermediate_size, c.hidden_size, c.mlp_bias);
  add_linear(tensors, prefix + "mlp.down_proj", c.hidden_size, c.intermediate_size, c.mlp_bias);
}

}  // namespace

void check_config(const ModelConfig& config, const std::string& where) {
  check_sizes(config, where);
  check_positive(config.rms_norm_eps, "rms_norm_eps", where);
  check_rope(config.rope, config.head_dim, where);
  if (config.attention_window.size() != static_cast<size_t>(config.num_layers)) {
    throw InputError(where + ", layer_types", std::to_string(config.num_layers) + " entries",
                     std::to_string(config.attention_window.size()));
  }
  for (const int64_t window : config.attention_window) {
    if (window < 0) {
      throw InputError(where + ", sliding_window", "a positive number", std::to_string(window));
    }
  }
}

std::vector<ExpectedTensor> expected_tensors(const ModelConfig& config) {
  std::vector<ExpectedTensor> tensors;
  tensors.push_back({"model.embed_tokens.weight", {config.vocab_size, config.hidden_size}});
  tensors.push_back({"model.norm.weight", {config.hidden_size}});
  if (!config.tie_word_embeddings) {
    tensors.push_back({"lm_head.weight", {config.vocab_size, config.hidden_size}});
  }
  for (int64_t layer = 0; layer < config.num_layers; ++layer) add_layer(tensors, config, layer);
  std::sort(tensors.begin(), tensors.end(),
            [](const ExpectedTensor& a, const ExpectedTensor& b) { return a.name < b.name; });
  return tensors;
}

void check_weights(const ModelConfig& config,
                   const WeightSource& source,
                   const std::string& where) {
  static const std::set<std::string> kUnreadable = {"F64",     "I64",     "I32",    "I16", "I8",
                                                    "U64",     "U32",     "U16",    "U8",  "BOOL",
                                                    "F8_E5M2", "F8_E4M3", "F8_E8M0"};
  const std::vector<ExpectedTensor> expected = expected_tensors(config);
  std::set<std::string> names;
  for (const ExpectedTensor& tensor : expected) {
    names.insert(tensor.name);
    if (!source.contains(tensor.name)) {
      throw InputError(where,
                       "a tensor \"" + tensor.name + "\" " + dims_text(tensor.dims) +
                           ", as the configuration says",
                       "none of that name");
    }
  }
  for (const TensorInfo& info : source.tensors()) {
    const std::string place = where + ", tensor \"" + info.name + "\"";
    if (!names.contains(info.name)) {
      if (is_harmless(info.name, config)) continue;
      throw InputError(place,
                       "only tensors that a " + config.architecture + " configuration calls for",
                       "one that it does not");
    }
    const auto match =
        std::lower_bound(expected.begin(), expected.end(), info.name,
                         [](const ExpectedTensor& a, const std::string& b) { return a.name < b; });
    if (match->dims != info.dims) {
      throw InputError(place, dims_text(match->dims) + ", as the configuration says",
                       dims_text(info.dims));
    }
    if (kUnreadable.contains(info.stored_as)) {
      throw InputError(place, "a dtype among F32, F16, BF16", info.stored_as);
    }
  }
}

}  // namespace headscope::model
