#include <ATen/ATen.h>
#include <c10/util/Half.h>

#include <catch2/catch.hpp>
#include <random>

#include "model/dequantise.h"
#include "model/gguf.h"
#include "model/gguf_config.h"
#include "model/gguf_weights.h"
#include "outputs/input_error.h"
#include "tests/fuzz/mutate.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/scratch_folder.h"

namespace headscope::testing {
namespace {

using Catch::Matchers::Contains;
using model::GgufFile;

std::shared_ptr<const GgufFile> open(const ScratchFolder& dir, const std::string& bytes) {
  write_file(dir.file("m.gguf"), bytes);
  return std::make_shared<GgufFile>(dir.file("m.gguf"));
}

std::string refusal(const GgufWriter& writer) {
  const ScratchFolder dir;
  try {
    (void)model::open_gguf_weights(open(dir, writer.bytes()));
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

std::string half_bytes(float value) {
  return raw_bytes(c10::Half(value).x);
}

std::vector<float> dequantised(const std::string& name, const std::string& block) {
  for (uint32_t number = 0; number < 40; ++number) {
    const model::BlockType* type = model::find_block_type(number);
    if (type == nullptr || name != type->name) continue;
    REQUIRE(static_cast<int64_t>(block.size()) == type->block_bytes);
    std::vector<float> values(static_cast<size_t>(type->block_size));
    type->to_float(reinterpret_cast<const std::byte*>(block.data()), 1, values.data());
    return values;
  }
  FAIL("no block type " << name);
  return {};
}

TEST_CASE("blocks worked by hand are dequantised", "[model]") {
  // Byte i of the codes: low nibble i, high nibble 15 - i.
  std::string nibbles;
  for (int i = 0; i < 16; ++i) nibbles += static_cast<char>(i | (15 - i) << 4);
  const std::string high_bits = raw_bytes(uint32_t{0x80000001});  // values 0 and 31
  const std::vector<float> q4_0 = dequantised("Q4_0", half_bytes(0.5F) + nibbles);
  CHECK(q4_0[0] == -4.0F);
  CHECK(q4_0[15] == 3.5F);
  CHECK(q4_0[16] == 3.5F);
  CHECK(q4_0[31] == -4.0F);
  const std::vector<float> q4_1 =
      dequantised("Q4_1", half_bytes(2.0F) + half_bytes(-1.0F) + nibbles);
  CHECK(q4_1[3] == 5.0F);
  CHECK(q4_1[16 + 3] == 23.0F);
  const std::vector<float> q5_0 = dequantised("Q5_0", half_bytes(1.0F) + high_bits + nibbles);
  CHECK(q5_0[0] == 0.0F);
  CHECK(q5_0[1] == -15.0F);
  CHECK(q5_0[31] == 0.0F);
  CHECK(q5_0[30] == -15.0F);
  const std::vector<float> q5_1 =
      dequantised("Q5_1", half_bytes(1.0F) + half_bytes(10.0F) + high_bits + nibbles);
  CHECK(q5_1[0] == 26.0F);
  CHECK(q5_1[2] == 12.0F);
  CHECK(q5_1[31] == 26.0F);
  std::string codes;
  for (int i = 0; i < 32; ++i) codes += static_cast<char>(i - 16);
  const std::vector<float> q8_0 = dequantised("Q8_0", half_bytes(0.25F) + codes);
  CHECK(q8_0[0] == -4.0F);
  CHECK(q8_0[31] == 3.75F);
}

TEST_CASE("super-blocks worked by hand are dequantised", "[model]") {
  // Q6_K: low nibbles all 1, high bits all 2 (0b10101010): code 1 + 32 = 33, minus 32 = 1.
  std::string scales;
  for (int i = 0; i < 16; ++i) scales += static_cast<char>(i - 8);
  const std::vector<float> q6 = dequantised(
      "Q6_K", std::string(128, '\x11') + std::string(64, '\xaa') + scales + half_bytes(0.5F));
  CHECK(q6[0] == -4.0F);
  CHECK(q6[16 * 9] == 0.5F);
  CHECK(q6[255] == 3.5F);
  // Q2_K: scale 3 and minimum 2 in every group, codes 3 in the lowest bit pair only.
  const std::vector<float> q2 =
      dequantised("Q2_K", std::string(16, '\x23') + std::string(64, '\x03') + half_bytes(1.0F) +
                              half_bytes(0.5F));
  CHECK(q2[0] == 8.0F);
  CHECK(q2[31] == 8.0F);
  CHECK(q2[32] == -1.0F);
  CHECK(q2[128] == 8.0F);
  // Q3_K: every scale's low nibble 3 and upper bits 2 give 35 - 32 = 3; codes 1; mask clear: -4.
  const std::vector<float> q3 = dequantised(
      "Q3_K", std::string(16, '\xff') + std::string(16, '\0') + std::string(64, '\x55') +
                  std::string(8, '\x33') + std::string(4, '\xaa') + half_bytes(1.0F));
  CHECK(q3[0] == 3.0F);
  CHECK(q3[16] == -9.0F);
  // Q4_K: scales 2 in groups 0-3, 16 * 1 + 5 = 21 in groups 4-7; minima 0 and 3; codes 1 and 2.
  const std::string packed = std::string(4, '\x42') + std::string(4, '\0') + std::string(4, '\x35');
  const std::vector<float> q4 =
      dequantised("Q4_K", half_bytes(1.0F) + half_bytes(1.0F) + packed + std::string(128, '\x21'));
  CHECK(q4[0] == 2.0F);
  CHECK(q4[32] == 4.0F);
  CHECK(q4[128] == 18.0F);
  CHECK(q4[160] == 39.0F);
  // Q5_K: as Q4_K, and bit 1 of the high bytes raises group 1 by 16.
  const std::vector<float> q5 =
      dequantised("Q5_K", half_bytes(1.0F) + half_bytes(1.0F) + packed + std::string(32, '\x02') +
                              std::string(128, '\x21'));
  CHECK(q5[0] == 2.0F);
  CHECK(q5[32] == 36.0F);
  CHECK(q5[255] == 39.0F);
}

TEST_CASE("query and key rows of a llama GGUF file come in Hugging Face's order", "[model]") {
  const ScratchFolder dir;
  for (const std::string architecture : {"llama", "qwen2", "qwen3"}) {
    model::ModelConfig config = tiny_config(architecture);
    config.qkv_bias = architecture != "qwen3";
    INFO(architecture);
    const std::vector<RawTensor> tensors = random_tensors(config, /*seed=*/4);
    const auto weights =
        model::open_gguf_weights(open(dir, gguf_copy(config, tensors, "BF16").bytes()));
    REQUIRE(weights->tensors().size() == tensors.size());
    for (const RawTensor& tensor : tensors) {
      INFO(tensor.name);
      const std::vector<float> values = values_of(tensor);
      const at::Tensor expected = at::tensor(values).view(tensor.dims);
      CHECK(at::equal(weights->load(tensor.name, at::kFloat, at::kCPU), expected));
      CHECK(
          at::equal(weights->load(tensor.name, at::kBFloat16, at::kCPU).to(at::kFloat), expected));
      CHECK(weights->sample(tensor.name, 1 << 20) == values);
    }
  }
}

TEST_CASE("a GGUF file's keys are read into one configuration", "[model]") {
  const ScratchFolder dir;
  model::ModelConfig config = tiny_config();
  config.rope.scaling = model::RopeScaling::kLlama3;
  config.rope.theta = 500000;
  config.rope.factor = 8;
  config.rope.original_max_positions = 64;
  const auto file = open(dir, gguf_copy(config, random_tensors(config, /*seed=*/5), "F16").bytes());
  const model::ModelConfig read = model::read_gguf_config(*file);
  CHECK(read.shape() == config.shape());
  CHECK(read.intermediate_size == config.intermediate_size);
  CHECK(read.rms_norm_eps == Approx(1e-5));
  CHECK(read.rope.theta == 500000);
  CHECK(read.rope.frequency_factors.size() == 4);
  CHECK_FALSE(read.tie_word_embeddings);
  CHECK(read.checkpoint_dtype == "float16");
}

GgufWriter sound() {
  const model::ModelConfig config = tiny_config();
  return gguf_copy(config, random_tensors(config, /*seed=*/6), "F16");
}

TEST_CASE("a lying GGUF header is refused with what is wrong", "[model]") {
  REQUIRE(refusal(sound()) == "accepted");
  const auto refused = [](void (*damage)(GgufWriter&), const std::string& because) {
    GgufWriter writer = sound();
    damage(writer);
    CHECK_THAT(refusal(writer), Contains(because));
  };
  refused([](GgufWriter& w) { w.magic = "GGML"; }, "GGUF");
  refused([](GgufWriter& w) { w.version = 0x03000000; }, "big-endian");
  refused([](GgufWriter& w) { w.magic = "FUGG"; }, "big-endian");
  refused([](GgufWriter& w) { w.version = 1; }, "version 1");
  refused([](GgufWriter& w) { w.version = 4; }, "version 4");
  refused([](GgufWriter& w) { w.extra_tensors = 1; }, "tensor");
  refused([](GgufWriter& w) { w.extra_tensors = ~0ULL / 2; }, "tensors");
  refused([](GgufWriter& w) { w.extra_keys = ~0ULL / 2; }, "keys");
  refused([](GgufWriter& w) { w.add_uint32("llama.block_count", 2); }, "twice");
  refused([](GgufWriter& w) { w.add_raw("k", 13, ""); }, "value type");
  refused([](GgufWriter& w) { w.add_raw("k", 8, raw_bytes(~uint64_t{0})); }, "end of the file");
  refused([](GgufWriter& w) { w.add_raw("k", 9, raw_bytes(uint32_t{9}) + raw_bytes(uint64_t{1})); },
          "array of arrays");
  refused(
      [](GgufWriter& w) {
        w.add_raw("k", 9, raw_bytes(uint32_t{4}) + raw_bytes(uint64_t{1} << 60));
      },
      "elements");
  refused([](GgufWriter& w) { w.add_uint32("general.alignment", 24); }, "power of two");
  refused([](GgufWriter& w) { w.add_uint32("general.alignment", 0); }, "power of two");
  refused([](GgufWriter& w) { w.add_string("general.alignment", "32"); }, "a string");
  refused([](GgufWriter& w) { w.add_tensor("x", {}, 0, ""); }, "rank");
  refused([](GgufWriter& w) { w.add_tensor("x", {1, 1, 1, 1, 1}, 0, "abcd"); }, "rank");
  refused([](GgufWriter& w) { w.add_tensor("x", {4, 0}, 0, ""); }, "at least 1");
  refused(
      [](GgufWriter& w) {
        w.add_tensor("x", {int64_t{1} << 40, int64_t{1} << 40}, 0, "");
      },
      "overflow");
  refused([](GgufWriter& w) { w.add_tensor("x", {int64_t{1} << 40}, 0, ""); }, "truncated");
  refused([](GgufWriter& w) { w.add_tensor("x", {16}, 2, std::string(18, '\0')); },
          "multiple of 32");
  refused([](GgufWriter& w) { w.add_tensor("blk.0.attn_q.weight", {1}, 0, "abcd"); }, "twice");
  refused([](GgufWriter& w) { w.offset_shift = 1; }, "multiple of 32");
  refused([](GgufWriter& w) { w.offset_shift = uint64_t{1} << 40; }, "passes the end");
  refused([](GgufWriter& w) { w.offset_shift = ~uint64_t{31}; }, "overlaps");
}

TEST_CASE("an unsupported block type is refused by name, with the supported ones", "[model]") {
  GgufWriter writer = sound();
  writer.add_tensor("x", {256}, 23, std::string(136, '\0'));
  CHECK_THAT(refusal(writer), Contains("IQ4_XS") && Contains("Q4_K") && Contains("\"x\""));
  GgufWriter unknown = sound();
  unknown.add_tensor("x", {256}, 777, std::string(136, '\0'));
  CHECK_THAT(refusal(unknown), Contains("type 777"));
}

TEST_CASE("a GGUF configuration that contradicts itself is refused", "[model]") {
  const auto refused = [](void (*write)(GgufWriter&), const std::string& because) {
    const ScratchFolder dir;
    GgufWriter writer;
    write(writer);
    writer.add_uint32("llama.block_count", 2);
    writer.add_uint32("llama.context_length", 128);
    writer.add_uint32("llama.embedding_length", 32);
    writer.add_uint32("llama.feed_forward_length", 64);
    writer.add_float32("llama.attention.layer_norm_rms_epsilon", 1e-5F);
    writer.add_tensor("token_embd.weight", {48, 32}, 0, std::string(48 * 32 * 4, '\0'));
    CHECK_THROWS_WITH(model::read_gguf_config(*open(dir, writer.bytes())), Contains(because));
  };
  refused([](GgufWriter& w) { w.add_string("general.architecture", "gemma3"); }, "gemma3");
  refused([](GgufWriter& w) { w.add_uint32("general.architecture", 1); }, "an integer");
  refused([](GgufWriter& w) { w.add_string("general.architecture", "llama"); }, "head_count");
  refused(
      [](GgufWriter& w) {
        w.add_string("general.architecture", "llama");
        w.add_uint32("llama.attention.head_count", 4);
        w.add_uint32s("llama.attention.head_count_kv", {2, 4});
      },
      "same number in every layer");
  refused(
      [](GgufWriter& w) {
        w.add_string("general.architecture", "llama");
        w.add_uint32("llama.attention.head_count", 4);
        w.add_uint32("llama.attention.head_count_kv", 3);
      },
      "num_key_value_heads");
  refused(
      [](GgufWriter& w) {
        w.add_string("general.architecture", "llama");
        w.add_uint32("llama.attention.head_count", 4);
        w.add_uint32("llama.rope.dimension_count", 4);
        w.add_uint32("llama.attention.key_length", 8);
      },
      "rope.dimension_count");
  refused(
      [](GgufWriter& w) {
        w.add_string("general.architecture", "llama");
        w.add_uint32("llama.attention.head_count", 4);
        w.add_uint32("llama.expert_count", 8);
      },
      "experts");
  refused(
      [](GgufWriter& w) {
        w.add_string("general.architecture", "llama");
        w.add_uint32("llama.attention.head_count", 4);
        w.add_string("llama.rope.scaling.type", "longrope");
      },
      "longrope");
}

TEST_CASE("a GGUF file cut anywhere is refused", "[model]") {
  const ScratchFolder dir;
  const std::string whole = sound().bytes();
  std::mt19937_64 generator(7);
  for (int round = 0; round < 300; ++round) {
    const size_t size = static_cast<size_t>(generator()) % (whole.size() - 64);
    INFO("cut to " << size << " of " << whole.size() << " bytes");
    CHECK_THROWS_AS(model::open_gguf_weights(open(dir, whole.substr(0, size))), InputError);
  }
}

TEST_CASE("a damaged GGUF header ends in success or a refusal", "[model]") {
  const ScratchFolder dir;
  model::ModelConfig config = tiny_config();
  config.num_layers = 1;
  config.attention_window = {0};
  config.rope.scaling = model::RopeScaling::kLlama3;
  config.rope.factor = 8;
  config.rope.original_max_positions = 64;
  GgufWriter writer = gguf_copy(config, random_tensors(config, /*seed=*/8), "F16");
  writer.add_strings("tokenizer.ggml.tokens", {"a", "b", "c"});
  const std::string whole = writer.bytes();
  const size_t header = whole.rfind("rope_freqs.weight") + 48;
  std::mt19937_64 generator(20240608);
  int num_refused = 0;
  for (int round = 0; round < 2000; ++round) {
    INFO("seed 20240608, round " << round);
    try {
      const auto file = open(dir, mutate(whole, header, generator));
      (void)model::read_gguf_config(*file);
      const auto weights = model::open_gguf_weights(file);
      for (const model::TensorInfo& info : weights->tensors()) (void)weights->sample(info.name, 2);
    } catch (const InputError&) {
      ++num_refused;
    }
  }
  CHECK(num_refused > 1000);
}

}  // namespace
}  // namespace headscope::testing
