#include <ATen/ATen.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <iostream>
#include <optional>

#include "model/fingerprint.h"
#include "model/model.h"
#include "outputs/input_error.h"
#include "outputs/sha256.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/shared_data.h"
#include "tests/support/tiny_checkpoint.h"

namespace headscope::testing {
namespace {

using Catch::Matchers::Contains;
using model::ModelConfig;
using model::open_model_source;

std::string fingerprint_of_directory(const ModelConfig& config,
                                     const std::vector<RawTensor>& tensors,
                                     int num_shards = 1) {
  const ScratchFolder dir;
  write_checkpoint(dir.path(), config, tensors, num_shards);
  return open_model_source(dir.path().string())->fingerprint();
}

std::string fingerprint_of_gguf(const GgufWriter& writer) {
  const ScratchFolder dir;
  write_file(dir.file("m.gguf"), writer.bytes());
  return open_model_source(dir.file("m.gguf"))->fingerprint();
}

// Sets an environment variable for as long as it lives.
class ScopedVariable {
 public:
  ScopedVariable(const char* name, const std::string& value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    ::setenv(name, value.c_str(), 1);
  }
  ~ScopedVariable() {
    if (before_) {
      ::setenv(name_, before_->c_str(), 1);
    } else {
      ::unsetenv(name_);
    }
  }
  ScopedVariable(const ScopedVariable&) = delete;
  ScopedVariable& operator=(const ScopedVariable&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};

TEST_CASE("SHA-256 gives the published digests", "[model]") {
  CHECK(sha256_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const std::string million(1000000, 'a');
  const std::string expected = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
  CHECK(sha256_hex(million) == expected);
  Sha256 in_parts;
  for (size_t at = 0; at < million.size(); at += 37) in_parts.update(million.substr(at, 37));
  CHECK(in_parts.finish() == expected);
}

TEST_CASE("a checkpoint has one fingerprint whatever file and dtype it is in", "[model]") {
  for (const std::string architecture : {"llama", "mistral", "qwen2", "qwen3"}) {
    INFO(architecture);
    ModelConfig config = tiny_config(architecture);
    if (architecture == "llama") {
      config.rope.scaling = model::RopeScaling::kLlama3;
      config.rope.theta = 500000;
      config.rope.factor = 8;
      config.rope.original_max_positions = 64;
    }
    const std::vector<RawTensor> tensors = random_tensors(config, /*seed=*/11);
    const std::string fingerprint = fingerprint_of_directory(config, tensors);
    CHECK(fingerprint.size() == 64);
    CHECK(fingerprint_of_directory(config, tensors, /*num_shards=*/2) == fingerprint);
    CHECK(fingerprint_of_directory(config, random_tensors(config, 11, "BF16")) == fingerprint);
    CHECK(fingerprint_of_directory(config, random_tensors(config, 11, "F16")) == fingerprint);
    for (const std::string dtype : {"F32", "F16", "BF16"}) {
      CHECK(fingerprint_of_gguf(gguf_copy(config, tensors, dtype)) == fingerprint);
    }
    CHECK(fingerprint_of_directory(config, random_tensors(config, 12)) != fingerprint);
    ModelConfig other = config;
    other.rope.theta *= 2;
    CHECK(fingerprint_of_directory(other, tensors) != fingerprint);
    other = config;
    other.rms_norm_eps = 1e-6;
    CHECK(fingerprint_of_directory(other, tensors) != fingerprint);
  }
}

TEST_CASE("a tied output matrix and rotary buffers do not change the fingerprint", "[model]") {
  ModelConfig config = tiny_config();
  config.tie_word_embeddings = true;
  std::vector<RawTensor> tensors = random_tensors(config, /*seed=*/13);
  const std::string fingerprint = fingerprint_of_directory(config, tensors);
  CHECK(fingerprint_of_gguf(gguf_copy(config, tensors, "BF16")) == fingerprint);
  const auto embedding = std::find_if(tensors.begin(), tensors.end(), [](const RawTensor& tensor) {
    return tensor.name == "model.embed_tokens.weight";
  });
  RawTensor head = *embedding;
  head.name = "lm_head.weight";
  tensors.push_back(head);
  tensors.push_back(make_tensor("model.layers.0.self_attn.rotary_emb.inv_freq", {4}, {1, 2, 3, 4}));
  CHECK(fingerprint_of_directory(config, tensors) == fingerprint);
}

TEST_CASE("bfloat16 values and their float16 copies hash alike", "[model]") {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value =
        static_cast<float>(c10::BFloat16(static_cast<uint16_t>(bits), c10::BFloat16::from_bits()));
    if (!(std::abs(value) <= 65504.0F)) continue;
    const auto copy = static_cast<float>(c10::Half(value));
    INFO("bits " << bits);
    REQUIRE(model::fingerprint_bits(value) == model::fingerprint_bits(copy));
  }
}

TEST_CASE("a quantised copy has a fingerprint of its own", "[model]") {
  const ModelConfig config = tiny_config();
  const std::vector<RawTensor> tensors = random_tensors(config, /*seed=*/14);
  std::vector<RawTensor> changed = tensors;
  for (RawTensor& tensor : changed) {
    std::vector<float> values = values_of(tensor);
    // What 8-bit blocks do: steps of a 127th of the largest value.
    for (float& value : values) value = std::nearbyint(value / 0.2F * 127.0F) * 0.2F / 127.0F;
    tensor = make_tensor(tensor.name, tensor.dims, values);
  }
  CHECK(fingerprint_of_directory(config, changed) != fingerprint_of_directory(config, tensors));
}

TEST_CASE("weights that contradict the configuration are refused by name", "[model]") {
  const ModelConfig config = tiny_config();
  const std::vector<RawTensor> tensors = random_tensors(config, /*seed=*/15);
  const auto refused = [&](const std::vector<RawTensor>& given, const std::string& because) {
    const ScratchFolder dir;
    write_checkpoint(dir.path(), config, given);
    CHECK_THROWS_WITH(open_model_source(dir.path().string()), Contains(because));
  };
  std::vector<RawTensor> given(tensors.begin() + 1, tensors.end());
  refused(given, tensors[0].name);
  given = tensors;
  given[0].dims = {given[0].dims[1], given[0].dims[0]};
  refused(given, tensors[0].name);
  given = tensors;
  given.push_back(make_tensor("model.layers.0.mlp.experts.3.w1.weight", {1}, {1}));
  refused(given, "experts.3");
  given = tensors;
  given[0].dtype = "I32";
  refused(given, "I32");
}

TEST_CASE("a model is found as a directory, a file, or a hub id in the cache", "[model]") {
  const ScratchFolder cache;
  const ModelConfig config = tiny_config();
  const std::vector<RawTensor> tensors = random_tensors(config, /*seed=*/16);
  const std::filesystem::path repository = cache.path() / "models--some--model";
  const std::filesystem::path snapshot = repository / "snapshots" / "0123abcd";
  std::filesystem::create_directories(snapshot);
  std::filesystem::create_directories(repository / "refs");
  write_file((repository / "refs" / "main").string(), "0123abcd");
  write_checkpoint(snapshot, config, tensors);
  const ScopedVariable variable("HF_HUB_CACHE", cache.path().string());
  const auto source = open_model_source("some/model");
  CHECK(source->name() == "model");
  CHECK(source->path() == snapshot.string());
  CHECK(source->config().checkpoint_dtype == "float32");
  CHECK(model::identity_of(*source).shape == config.shape());
  CHECK_THROWS_WITH(open_model_source("some/other"),
                    Contains("hf download some/other") && Contains(cache.path().string()));
  CHECK_THROWS_WITH(open_model_source(cache.file("absent/model.gguf")),
                    Contains("no such file or directory"));
  CHECK_THROWS_WITH(open_model_source((snapshot / "config.json").string()),
                    Contains("another kind"));
  CHECK_THROWS_WITH(open_model_source(cache.path().string()), Contains("config.json"));
  write_file(cache.file("one.gguf"), gguf_copy(config, tensors, "F16").bytes());
  CHECK(open_model_source(cache.path().string())->name() == "one.gguf");
  CHECK(open_model_source(cache.path().string())->fingerprint() == source->fingerprint());
}

TEST_CASE("a directory without a tokenizer says so only when one is needed", "[model]") {
  const ScratchFolder dir;
  const ModelConfig config = tiny_config();
  write_checkpoint(dir.path(), config, random_tensors(config, /*seed=*/17));
  const auto source = open_model_source(dir.path().string());
  CHECK(source->chat_template().text.empty());
  CHECK_THROWS_WITH(source->open_tokenizer(), Contains("tokenizer.json"));
  CHECK_THROWS_WITH(model::open_tokenizer_of(dir.path().string()), Contains("tokenizer.json"));
  write_file(dir.file("tokenizer_config.json"),
             R"({"bos_token": {"content": "<s>"}, "eos_token": "</s>", "chat_template": "one"})");
  CHECK(source->chat_template().text == "one");
  CHECK(source->chat_template().bos_token == "<s>");
  CHECK(source->chat_template().eos_token == "</s>");
  write_file(dir.file("tokenizer_config.json"),
             R"({"chat_template": [{"name": "rag", "template": "x"},
                                   {"name": "default", "template": "two"}]})");
  CHECK(source->chat_template().text == "two");
  write_file(dir.file("chat_template.jinja"), "three");
  CHECK(source->chat_template().text == "three");
}

TEST_CASE("the published small model opens", "[model]") {
  const auto folder = shared_data("models/stories260K/hf");
  if (!folder) return;
  const auto source = open_model_source(folder->string());
  CHECK(source->name() == "hf");
  CHECK(source->config().num_layers == 5);
  CHECK(source->config().tie_word_embeddings);
  const at::Tensor query =
      source->weights().load("model.layers.0.self_attn.q_proj.weight", at::kFloat, at::kCPU);
  CHECK(query.sizes() == at::IntArrayRef({64, 64}));
  CHECK(source->fingerprint().size() == 64);
  CHECK(source->open_tokenizer()->vocab_size() == 512);
}

TEST_CASE("the demonstration model opens", "[model]") {
  const char* given = std::getenv("HEADSCOPE_SMOLLM2");
  const std::filesystem::path file = given == nullptr ? "" : given;
  if (!std::filesystem::exists(file)) {
    std::cout << "SKIPPED: HEADSCOPE_SMOLLM2 names no model; examples/get_smollm2.sh fetches it"
              << std::endl;
    return;
  }
  const auto source = open_model_source(file.string());
  const ModelConfig& config = source->config();
  CHECK(config.num_layers == 30);
  CHECK(config.num_query_heads == 9);
  CHECK(config.num_kv_heads == 3);
  CHECK(config.head_dim == 64);
  CHECK(config.vocab_size == 49152);
  CHECK(config.rope.theta == 100000);
  CHECK(config.max_positions == 8192);
  CHECK(config.tie_word_embeddings);
  CHECK(source->fingerprint() == open_model_source(file.string())->fingerprint());
  CHECK(source->open_tokenizer()->vocab_size() == 49152);
  CHECK(source->chat_template().format == model::ChatFormat::kChatMl);
}

}  // namespace
}  // namespace headscope::testing
