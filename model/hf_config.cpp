#include "model/hf_config.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>

#include "model/config_check.h"
#include "model/json_fields.h"
#include "outputs/input_error.h"

namespace headscope::model {
namespace {

using nlohmann::json;

// What differs between the families; the rest is common.
struct Family {
  std::string_view model_type;
  int64_t default_kv_heads;  // 0 = as many as query heads
  int64_t default_head_dim;  // 0 = hidden_size / query heads
  int64_t default_positions;
  bool always_qkv_bias;
  bool reads_attention_bias;
  bool qk_norm;
};
constexpr std::array<Family, 4> kFamilies = {{{"llama", 0, 0, 2048, false, true, false},
                                              {"mistral", 8, 0, 131072, false, false, false},
                                              {"qwen2", 32, 0, 32768, true, false, false},
                                              {"qwen3", 32, 128, 32768, false, true, true}}};

const Family& family_of(const JsonFields& fields) {
  const std::string type = fields.find_string("model_type").value_or("");
  std::string supported;
  for (const Family& family : kFamilies) {
    if (family.model_type == type) return family;
    supported += (supported.empty() ? "" : ", ") + std::string(family.model_type);
  }
  throw InputError(fields.where() + ", model_type", "one of " + supported,
                   type.empty() ? "none" : "\"" + type + "\"");
}

void refuse_unsupported(const JsonFields& fields) {
  const std::string activation = fields.find_string("hidden_act").value_or("silu");
  if (activation != "silu" && activation != "swish") {
    throw InputError(fields.where() + ", hidden_act", "\"silu\"", "\"" + activation + "\"");
  }
  if (const json* quantisation = fields.find("quantization_config")) {
    const std::string method = quantisation->is_object() && quantisation->contains("quant_method")
                                   ? quantisation->at("quant_method").dump()
                                   : "of an unknown kind";
    throw InputError(fields.where() + ", quantization_config", "unquantised weights",
                     "quantisation " + method,
                     "Use the original checkpoint, or a GGUF file for quantised weights.");
  }
}

RopeScaling scaling_of(const std::string& type, const std::string& where) {
  if (type == "default") return RopeScaling::kNone;
  if (type == "linear") return RopeScaling::kLinear;
  if (type == "dynamic") return RopeScaling::kDynamic;
  if (type == "llama3") return RopeScaling::kLlama3;
  if (type == "yarn") return RopeScaling::kYarn;
  throw InputError(where + ", rope_type", "one of default, linear, dynamic, llama3, yarn",
                   "\"" + type + "\"");
}

void read_scaling(RopeConfig& rope,
                  const JsonFields& fields,
                  const JsonFields& top,
                  int64_t max_positions) {
  rope.original_max_positions =
      top.find_int("original_max_position_embeddings")
          .value_or(fields.find_int("original_max_position_embeddings").value_or(max_positions));
  switch (rope.scaling) {
    case RopeScaling::kNone:
      rope.original_max_positions = 0;
      return;
    case RopeScaling::kLinear:
      rope.original_max_positions = 0;
      rope.factor = fields.require_double("factor");
      return;
    case RopeScaling::kDynamic:
      // The base grows with the length beyond the positions of the configuration itself.
      rope.original_max_positions = max_positions;
      rope.factor = fields.require_double("factor");
      return;
    case RopeScaling::kLlama3:
      rope.factor = fields.require_double("factor");
      rope.low_freq_factor = fields.require_double("low_freq_factor");
      rope.high_freq_factor = fields.require_double("high_freq_factor");
      return;
    case RopeScaling::kYarn:
      rope.factor = fields.find_double("factor").value_or(
          static_cast<double>(max_positions) /
          static_cast<double>(std::max<int64_t>(rope.original_max_positions, 1)));
      rope.beta_fast = fields.find_double("beta_fast").value_or(32.0);
      rope.beta_slow = fields.find_double("beta_slow").value_or(1.0);
      rope.attention_factor = fields.find_double("attention_factor");
      rope.mscale = fields.find_double("mscale");
      rope.mscale_all_dim = fields.find_double("mscale_all_dim");
      rope.truncate = fields.find_bool("truncate").value_or(true);
      return;
  }
}

// Three spellings: rope_theta with rope_scaling {type | rope_type, …}, or everything inside
// rope_parameters (transformers 5).
RopeConfig read_rope(const JsonFields& top, int64_t max_positions) {
  RopeConfig rope;
  rope.theta = top.find_double("rope_theta").value_or(10000.0);
  const json* parameters = top.find("rope_scaling");
  const char* field = "rope_scaling";
  if (parameters == nullptr || parameters->empty()) {
    parameters = top.find("rope_parameters");
    field = "rope_parameters";
  }
  const JsonFields* partial = &top;
  if (parameters != nullptr) {
    const std::string where = top.where() + ", " + field;
    if (!parameters->is_object()) throw InputError(where, "an object", parameters->type_name());
    const JsonFields fields(*parameters, where);
    if (fields.has("full_attention") || fields.has("sliding_attention")) {
      throw InputError(where, "one set of rotary parameters", "a set per kind of layer");
    }
    rope.theta = fields.find_double("rope_theta").value_or(rope.theta);
    const std::optional<std::string> type = fields.find_string("rope_type");
    rope.scaling = scaling_of(type ? *type : fields.find_string("type").value_or("default"), where);
    read_scaling(rope, fields, top, max_positions);
    if (fields.has("partial_rotary_factor")) partial = &fields;
    if (partial->find_double("partial_rotary_factor").value_or(1.0) != 1.0) {
      throw InputError(where + ", partial_rotary_factor", "1 (the whole head is rotated)",
                       std::to_string(*partial->find_double("partial_rotary_factor")));
    }
  } else if (top.find_double("partial_rotary_factor").value_or(1.0) != 1.0) {
    throw InputError(top.where() + ", partial_rotary_factor", "1 (the whole head is rotated)",
                     std::to_string(*top.find_double("partial_rotary_factor")));
  }
  return rope;
}

std::vector<int64_t> windows_by_layer_types(const json& types,
                                            int64_t window,
                                            const std::string& where) {
  if (!types.is_array()) throw InputError(where, "a list", types.type_name());
  std::vector<int64_t> windows;
  for (const json& type : types) {
    if (type == "full_attention") {
      windows.push_back(0);
    } else if (type == "sliding_attention") {
      windows.push_back(window);
    } else {
      throw InputError(where, "\"full_attention\" or \"sliding_attention\"", type.dump());
    }
  }
  return windows;
}

std::vector<int64_t> read_windows(const JsonFields& fields, const ModelConfig& config) {
  const auto all = [&](int64_t window) {
    return std::vector<int64_t>(static_cast<size_t>(config.num_layers), window);
  };
  if (config.architecture == "llama") return all(0);
  // Absent means transformers' default of 4096; null means none.
  int64_t window =
      fields.names("sliding_window") ? fields.find_int("sliding_window").value_or(0) : 4096;
  if (window < 0 || (window == 0 && fields.has("sliding_window"))) {
    throw InputError(fields.where() + ", sliding_window", "a positive number or null",
                     std::to_string(window));
  }
  // A window that no sequence can leave is no window.
  if (window >= config.max_positions) window = 0;
  if (config.architecture == "mistral") return all(window);
  if (!fields.find_bool("use_sliding_window").value_or(false)) window = 0;
  if (const json* types = fields.find("layer_types")) {
    return windows_by_layer_types(*types, window, fields.where() + ", layer_types");
  }
  std::vector<int64_t> windows = all(window);
  const int64_t first = fields.find_int("max_window_layers").value_or(28);
  for (int64_t layer = 0; layer < std::min(first, config.num_layers); ++layer) {
    windows[static_cast<size_t>(layer)] = 0;
  }
  return windows;
}

void read_heads(ModelConfig& config, const Family& family, const JsonFields& fields) {
  config.num_query_heads = fields.require_int("num_attention_heads");
  // As in transformers: an absent count is the class's default, a null one means no grouping.
  const bool is_absent = !fields.names("num_key_value_heads") && family.default_kv_heads != 0;
  config.num_kv_heads = fields.find_int("num_key_value_heads")
                            .value_or(is_absent ? family.default_kv_heads : config.num_query_heads);
  if (const std::optional<int64_t> head_dim = fields.find_int("head_dim")) {
    config.head_dim = *head_dim;
  } else if (!fields.names("head_dim") && family.default_head_dim != 0) {
    config.head_dim = family.default_head_dim;
  } else {
    if (config.num_query_heads < 1 || config.hidden_size % config.num_query_heads != 0) {
      throw InputError(fields.where() + ", num_attention_heads",
                       "a divisor of hidden_size (" + std::to_string(config.hidden_size) +
                           "), as no head_dim is given",
                       std::to_string(config.num_query_heads));
    }
    config.head_dim = config.hidden_size / config.num_query_heads;
  }
}

std::vector<int64_t> read_token_ids(const JsonFields& fields, const char* field) {
  const json* value = fields.find(field);
  if (value == nullptr) return {};
  std::vector<int64_t> ids;
  for (const json& item : value->is_array() ? *value : json::array({*value})) {
    if (!item.is_number_integer()) {
      throw InputError(fields.where() + ", " + field, "a token id or a list of them", item.dump());
    }
    ids.push_back(item.get<int64_t>());
  }
  return ids;
}

std::string read_dtype(const JsonFields& fields) {
  std::string dtype =
      fields.find_string(fields.has("dtype") ? "dtype" : "torch_dtype").value_or("");
  if (dtype.starts_with("torch.")) dtype = dtype.substr(6);
  if (dtype == "float32" || dtype == "float16" || dtype == "bfloat16") return dtype;
  return "";  // the weights will say
}

ModelConfig config_of(const json& object, const std::string& where) {
  const JsonFields fields(object, where);
  const Family& family = family_of(fields);
  refuse_unsupported(fields);
  ModelConfig config;
  config.architecture = family.model_type;
  config.num_layers = fields.require_int("num_hidden_layers");
  config.hidden_size = fields.require_int("hidden_size");
  config.intermediate_size = fields.require_int("intermediate_size");
  config.vocab_size = fields.require_int("vocab_size");
  config.max_positions =
      fields.find_int("max_position_embeddings").value_or(family.default_positions);
  if (config.num_layers < 1 || config.num_layers > (1 << 14)) {
    throw InputError(where + ", num_hidden_layers", "a number from 1 to 16384",
                     std::to_string(config.num_layers));
  }
  read_heads(config, family, fields);
  config.rms_norm_eps = fields.find_double("rms_norm_eps").value_or(1e-6);
  config.rope = read_rope(fields, config.max_positions);
  config.tie_word_embeddings = fields.find_bool("tie_word_embeddings").value_or(false);
  const bool attention_bias =
      family.reads_attention_bias && fields.find_bool("attention_bias").value_or(false);
  config.qkv_bias = family.always_qkv_bias || attention_bias;
  config.output_bias = attention_bias;
  config.mlp_bias = config.architecture == "llama" && fields.find_bool("mlp_bias").value_or(false);
  config.qk_norm = family.qk_norm;
  config.attention_window = read_windows(fields, config);
  config.checkpoint_dtype = read_dtype(fields);
  const std::vector<int64_t> bos = read_token_ids(fields, "bos_token_id");
  if (!bos.empty()) config.bos_token_id = bos.front();
  config.eos_token_ids = read_token_ids(fields, "eos_token_id");
  check_config(config, where);
  return config;
}

}  // namespace

ModelConfig parse_hf_config(const std::string& text, const std::string& where) {
  return config_of(JsonFields::parse_object(text, where), where);
}

ModelConfig read_hf_config(const std::string& directory) {
  const std::filesystem::path root(directory);
  const std::string path = (root / "config.json").string();
  ModelConfig config = config_of(JsonFields::read_object(path), path);
  const std::string generation = (root / "generation_config.json").string();
  if (std::filesystem::exists(generation)) {
    const json object = JsonFields::read_object(generation);
    const std::vector<int64_t> eos = read_token_ids(JsonFields(object, generation), "eos_token_id");
    if (!eos.empty()) config.eos_token_ids = eos;
  }
  return config;
}

}  // namespace headscope::model
