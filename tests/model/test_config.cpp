#include <catch2/catch.hpp>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "model/config_check.h"
#include "model/hf_config.h"
#include "outputs/input_error.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/shared_data.h"
#include "tests/support/tiny_checkpoint.h"

namespace headscope::testing {
namespace {

using Catch::Matchers::Contains;
using model::ModelConfig;
using model::RopeScaling;
using nlohmann::json;

json base(const std::string& architecture = "llama") {
  return json::parse(config_json(tiny_config(architecture)));
}

ModelConfig parsed(const json& object) {
  return model::parse_hf_config(object.dump(), "config.json");
}

std::string refusal(const json& object) {
  try {
    (void)parsed(object);
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

std::string text_of(const std::filesystem::path& path) {
  std::ifstream stream(path);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

TEST_CASE("published configurations are read", "[model]") {
  const auto folder = shared_data("configs");
  if (!folder) return;
  const ModelConfig mistral =
      model::parse_hf_config(text_of(*folder / "Mistral-7B-v0.1.config.json"), "mistral");
  CHECK(mistral.architecture == "mistral");
  CHECK(mistral.head_dim == 128);
  CHECK(mistral.num_kv_heads == 8);
  CHECK(mistral.attention_window == std::vector<int64_t>(32, 4096));
  CHECK(mistral.checkpoint_dtype == "bfloat16");
  const ModelConfig qwen =
      model::parse_hf_config(text_of(*folder / "Qwen2.5-0.5B-Instruct.config.json"), "qwen");
  CHECK(qwen.qkv_bias);
  CHECK_FALSE(qwen.output_bias);
  CHECK(qwen.tie_word_embeddings);
  CHECK(qwen.rope.theta == 1e6);
  CHECK(qwen.attention_window == std::vector<int64_t>(24, 0));
  json llama = json::parse(text_of(*folder / "Llama-3.2-1B-omni-variant.config.json"));
  CHECK_THAT(refusal(llama),
             Contains("omni_speech_llama") && Contains("llama, mistral, qwen2, qwen3"));
  llama["model_type"] = "llama";
  const ModelConfig config = parsed(llama);
  CHECK(config.rope.scaling == RopeScaling::kLlama3);
  CHECK(config.rope.factor == 32);
  CHECK(config.rope.original_max_positions == 8192);
  CHECK(config.eos_token_ids == std::vector<int64_t>{128001, 128008, 128009});
  CHECK(config.head_dim == 64);
}

TEST_CASE("absent and null fields mean what transformers makes of them", "[model]") {
  json llama = base();
  llama.erase("num_key_value_heads");
  CHECK(parsed(llama).num_kv_heads == 4);
  llama.erase("head_dim");
  CHECK(parsed(llama).head_dim == 8);
  llama["head_dim"] = nullptr;
  CHECK(parsed(llama).head_dim == 8);
  llama.erase("max_position_embeddings");
  CHECK(parsed(llama).max_positions == 2048);
  llama.erase("rope_theta");
  CHECK(parsed(llama).rope.theta == 10000);
  json mistral = base("mistral");
  mistral["max_position_embeddings"] = 32768;
  CHECK(parsed(mistral).attention_window == std::vector<int64_t>{0, 0});
  mistral.erase("sliding_window");
  CHECK(parsed(mistral).attention_window == std::vector<int64_t>{4096, 4096});
  json qwen3 = base("qwen3");
  CHECK(parsed(qwen3).qk_norm);
  qwen3.erase("head_dim");
  CHECK(parsed(qwen3).head_dim == 128);
}

TEST_CASE("biases follow the family", "[model]") {
  json llama = base();
  llama["attention_bias"] = true;
  llama["mlp_bias"] = true;
  CHECK(parsed(llama).qkv_bias);
  CHECK(parsed(llama).output_bias);
  CHECK(parsed(llama).mlp_bias);
  json qwen2 = base("qwen2");
  CHECK(parsed(qwen2).qkv_bias);
  CHECK_FALSE(parsed(qwen2).output_bias);
  json qwen3 = base("qwen3");
  CHECK_FALSE(parsed(qwen3).qkv_bias);
  qwen3["attention_bias"] = true;
  CHECK(parsed(qwen3).output_bias);
}

TEST_CASE("sliding windows of Qwen follow max_window_layers or layer_types", "[model]") {
  json qwen = base("qwen2");
  qwen["num_hidden_layers"] = 4;
  qwen["sliding_window"] = 16;
  qwen["max_window_layers"] = 3;
  CHECK(parsed(qwen).attention_window == std::vector<int64_t>{0, 0, 0, 0});
  qwen["use_sliding_window"] = true;
  CHECK(parsed(qwen).attention_window == std::vector<int64_t>{0, 0, 0, 16});
  qwen["layer_types"] = {"sliding_attention", "full_attention", "sliding_attention",
                         "full_attention"};
  CHECK(parsed(qwen).attention_window == std::vector<int64_t>{16, 0, 16, 0});
  qwen["layer_types"] = {"full_attention"};
  CHECK_THAT(refusal(qwen), Contains("layer_types") && Contains("4 entries"));
  qwen["layer_types"] = {"chunked_attention"};
  CHECK_THAT(refusal(qwen), Contains("chunked_attention"));
}

TEST_CASE("rotary scaling is read in its old and new spellings", "[model]") {
  for (const std::string spelling : {"type", "rope_type", "rope_parameters"}) {
    INFO(spelling);
    const auto with = [&](const std::string& type, json fields) {
      json object = base();
      fields[spelling == "type" ? "type" : "rope_type"] = type;
      if (spelling == "rope_parameters") {
        object.erase("rope_theta");
        fields["rope_theta"] = 20000.0;
        object["rope_parameters"] = fields;
      } else {
        object["rope_theta"] = 20000.0;
        object["rope_scaling"] = fields;
      }
      return parsed(object).rope;
    };
    CHECK(with("default", json::object()).scaling == RopeScaling::kNone);
    const model::RopeConfig linear = with("linear", {{"factor", 2}});
    CHECK(linear.scaling == RopeScaling::kLinear);
    CHECK(linear.factor == 2);
    CHECK(linear.theta == 20000);
    const model::RopeConfig dynamic = with("dynamic", {{"factor", 4.0}});
    CHECK(dynamic.scaling == RopeScaling::kDynamic);
    CHECK(dynamic.original_max_positions == 128);
    const model::RopeConfig llama3 = with("llama3", {{"factor", 8.0},
                                                     {"low_freq_factor", 1.0},
                                                     {"high_freq_factor", 4.0},
                                                     {"original_max_position_embeddings", 64}});
    CHECK(llama3.scaling == RopeScaling::kLlama3);
    CHECK(llama3.original_max_positions == 64);
    const model::RopeConfig yarn = with("yarn", {{"factor", 4.0},
                                                 {"original_max_position_embeddings", 32},
                                                 {"beta_fast", 16},
                                                 {"attention_factor", 1.5},
                                                 {"truncate", false}});
    CHECK(yarn.scaling == RopeScaling::kYarn);
    CHECK(yarn.beta_fast == 16);
    CHECK(yarn.beta_slow == 1);
    CHECK(yarn.attention_factor == 1.5);
    CHECK_FALSE(yarn.truncate);
    CHECK(with("yarn", {{"factor", nullptr}, {"original_max_position_embeddings", 32}}).factor ==
          4);
    CHECK_THROWS_WITH(with("longrope", json::object()), Contains("longrope") && Contains("yarn"));
    CHECK_THROWS_WITH(with("linear", json::object()), Contains("factor"));
  }
}

TEST_CASE("nonsense in config.json is refused with the field's name", "[model]") {
  const auto refused = [](const char* field, const json& value, const std::string& because) {
    json object = base();
    object[field] = value;
    INFO(field << " = " << value.dump());
    CHECK_THAT(refusal(object), Contains(because));
  };
  for (const char* field :
       {"num_hidden_layers", "num_attention_heads", "num_key_value_heads", "hidden_size",
        "intermediate_size", "vocab_size", "head_dim", "max_position_embeddings"}) {
    refused(field, 0, field);
    refused(field, -4, field);
    refused(field, 1e18, field);
    refused(field, "four", field);
    refused(field, 2.5, field);
  }
  refused("num_key_value_heads", 3, "num_key_value_heads");
  refused("head_dim", 7, "head_dim");
  refused("rms_norm_eps", 0, "rms_norm_eps");
  refused("rope_theta", -1, "rope_theta");
  refused("hidden_act", "gelu", "hidden_act");
  refused("tie_word_embeddings", "yes", "tie_word_embeddings");
  refused("rope_scaling", "linear", "rope_scaling");
  refused("eos_token_id", "end", "eos_token_id");
  refused("partial_rotary_factor", 0.5, "partial_rotary_factor");
  refused("quantization_config", {{"quant_method", "gptq"}}, "gptq");
  refused("model_type", "gemma3", "gemma3");
  refused("model_type", nullptr, "none");
  CHECK_THROWS_WITH(model::parse_hf_config("{", "config.json"), Contains("invalid JSON"));
  CHECK_THROWS_WITH(model::parse_hf_config("[]", "config.json"), Contains("JSON object"));
}

TEST_CASE("generation_config.json names the end-of-sequence ids", "[model]") {
  const ScratchFolder dir;
  json object = base();
  object["eos_token_id"] = 2;
  object["bos_token_id"] = 1;
  write_file(dir.file("config.json"), object.dump());
  CHECK(model::read_hf_config(dir.path().string()).eos_token_ids == std::vector<int64_t>{2});
  write_file(dir.file("generation_config.json"), "{\"eos_token_id\": [7, 2]}");
  CHECK(model::read_hf_config(dir.path().string()).eos_token_ids == std::vector<int64_t>{7, 2});
  CHECK(model::read_hf_config(dir.path().string()).bos_token_id == 1);
}

}  // namespace
}  // namespace headscope::testing
