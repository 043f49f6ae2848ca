#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <string>
#include <vector>

#include "model/rotary.h"
#include "outputs/input_error.h"
#include "tests/model/tiny_configs.h"

namespace headscope::model {
namespace {

ModelConfig config_of(RopeScaling scaling, double factor, int64_t original) {
  ModelConfig config = testing::tiny_config(4, 2, /*head_dim=*/16);
  config.max_positions = 4096;
  config.rope.scaling = scaling;
  config.rope.factor = factor;
  config.rope.original_max_positions = original;
  return config;
}

// Within two units in the last place of float32.
void check_frequencies(const ModelConfig& config,
                       int64_t sequence_length,
                       const std::vector<float>& expected) {
  const at::Tensor found = Rotary(config, at::kCPU).frequencies(sequence_length);
  REQUIRE(found.numel() == static_cast<int64_t>(expected.size()));
  for (int64_t i = 0; i < found.numel(); ++i) {
    INFO("frequency " << i);
    const float value = expected[static_cast<size_t>(i)];
    CHECK(std::abs(found[i].item<float>() - value) <= 2.4e-7F * value);
  }
}

// Frequencies below were printed by transformers 5.2 (head_dim 16, theta 10 000, float32).
TEST_CASE("frequencies of every scaling rule are those of transformers", "[model]") {
  const std::vector<float> plain{1.0F,           0.316227764F,   0.100000001F,   0.0316227786F,
                                 0.00999999978F, 0.00316227786F, 0.00100000005F, 0.000316227786F};
  check_frequencies(config_of(RopeScaling::kNone, 1.0, 0), 0, plain);
  check_frequencies(config_of(RopeScaling::kLinear, 2.5, 0), 0,
                    {0.400000006F, 0.1264911F, 0.0399999991F, 0.0126491114F, 0.00399999972F,
                     0.00126491114F, 0.000400000019F, 0.000126491112F});
  const ModelConfig dynamic = config_of(RopeScaling::kDynamic, 4.0, 128);
  check_frequencies(dynamic, 5, plain);
  check_frequencies(dynamic, 128, plain);
  check_frequencies(dynamic, 300,
                    {1.0F, 0.242702499F, 0.05890451F, 0.0142962709F, 0.00346974074F,
                     0.000842114794F, 0.000204383367F, 4.96043576e-05F});
  check_frequencies(config_of(RopeScaling::kLlama3, 8.0, 64), 0,
                    {1.0F, 0.244384587F, 0.0130422562F, 0.00395284733F, 0.00124999997F,
                     0.000395284733F, 0.000125000006F, 3.95284733e-05F});
  ModelConfig yarn = config_of(RopeScaling::kYarn, 4.0, 128);
  check_frequencies(yarn, 0,
                    {1.0F, 0.237170815F, 0.049999997F, 0.00790569466F, 0.00249999994F,
                     0.000790569466F, 0.000250000012F, 7.90569466e-05F});
  yarn.rope.truncate = false;
  yarn.rope.beta_fast = 20.0;
  yarn.rope.beta_slow = 2.0;
  check_frequencies(yarn, 0,
                    {1.0F, 0.199539751F, 0.0256000105F, 0.00790569466F, 0.00249999994F,
                     0.000790569466F, 0.000250000012F, 7.90569466e-05F});
}

TEST_CASE("YaRN scales cos and sin by its attention factor, others by 1", "[model]") {
  ModelConfig config = config_of(RopeScaling::kYarn, 4.0, 128);
  const auto factor = [&] { return Rotary(config, at::kCPU).attention_factor(); };
  CHECK(factor() == Approx(1.138629436111989));
  config.rope.mscale = 0.7;
  CHECK(factor() == Approx(1.138629436111989));  // counts only together with mscale_all_dim
  config.rope.mscale_all_dim = 1.3;
  CHECK(factor() == Approx(0.9295234923939468));
  config.rope.attention_factor = 0.9;
  CHECK(factor() == 0.9);
  const RotaryTable table = Rotary(config, at::kCPU).table(0, 1);
  CHECK(table.cos[0][3].item<float>() == Approx(0.9));
  config.rope.scaling = RopeScaling::kLinear;
  CHECK(factor() == 1.0);
}

TEST_CASE("a GGUF file's frequency factors divide the frequencies", "[model]") {
  ModelConfig config = config_of(RopeScaling::kNone, 1.0, 0);
  config.rope.frequency_factors = {1, 1, 1, 1, 2, 4, 8, 8};
  const at::Tensor found = Rotary(config, at::kCPU).frequencies(0);
  CHECK(found[0].item<float>() == 1.0F);
  CHECK(found[6].item<float>() == Approx(0.001 / 8));
  config.rope.frequency_factors.pop_back();
  CHECK_THROWS_AS(Rotary(config, at::kCPU), InputError);
}

TEST_CASE("rotation turns dimension i with i + head_dim / 2 by position times frequency",
          "[model]") {
  ModelConfig config = testing::tiny_config(4, 2, /*head_dim=*/4);  // frequencies 1 and 0.01
  const Rotary rotary(config, at::kCPU);
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    const at::Tensor heads = at::tensor({1.0, 2.0, 3.0, 4.0}).view({1, 1, 1, 4}).to(dtype);
    rotate_heads_(heads, rotary.table(/*first=*/5, /*count=*/1));
    const double bound = dtype == at::kFloat ? 1e-6 : 0.02;
    const at::Tensor found = heads.view({4}).to(at::kDouble);
    CHECK(std::abs(found[0].item<double>() - (std::cos(5.0) - 3 * std::sin(5.0))) < bound);
    CHECK(std::abs(found[2].item<double>() - (3 * std::cos(5.0) + std::sin(5.0))) < bound);
    CHECK(std::abs(found[1].item<double>() - (2 * std::cos(.05) - 4 * std::sin(.05))) < bound);
    CHECK(std::abs(found[3].item<double>() - (4 * std::cos(.05) + 2 * std::sin(.05))) < bound);
  }
}

TEST_CASE("rotation reaches every sequence, position and head of a strided view", "[model]") {
  constexpr uint64_t kSeed = 7;
  INFO("seed " << kSeed);
  at::Generator generator = at::detail::createCPUGenerator(kSeed);
  const at::Tensor buffer = at::randn({2, 40, 5, 16}, generator, at::kFloat);
  const at::Tensor before = buffer.clone();
  const Rotary rotary(config_of(RopeScaling::kNone, 1.0, 0), at::kCPU);
  const RotaryTable table = rotary.table(3, 40);
  rotate_heads_(buffer.narrow(2, 1, 3), table);
  const at::Tensor half_a = before.narrow(3, 0, 8);
  const at::Tensor half_b = before.narrow(3, 8, 8);
  const at::Tensor cos = table.cos.unsqueeze(1);
  const at::Tensor sin = table.sin.unsqueeze(1);
  const at::Tensor turned =
      at::cat({half_a * cos - half_b * sin, half_b * cos + half_a * sin}, /*dim=*/3);
  CHECK(at::allclose(buffer.narrow(2, 1, 3), turned.narrow(2, 1, 3), 1e-6, 1e-6));
  CHECK(at::equal(buffer.select(2, 0), before.select(2, 0)));
  CHECK(at::equal(buffer.select(2, 4), before.select(2, 4)));
}

TEST_CASE("dynamic NTK rotates a pass by the length it ends at", "[model]") {
  const Rotary rotary(config_of(RopeScaling::kDynamic, 4.0, 128), at::kCPU);
  const Rotary plain(config_of(RopeScaling::kNone, 1.0, 0), at::kCPU);
  CHECK(at::equal(rotary.table(0, 128).cos, plain.table(0, 128).cos));
  const at::Tensor longer = rotary.table(100, 200).sin;
  CHECK_FALSE(at::allclose(longer, plain.table(100, 200).sin));
  CHECK(at::allclose(longer[0], at::sin(rotary.frequencies(300) * 100.0)));
}

TEST_CASE("interpolated models reach beyond their original positions", "[model]") {
  CHECK(position_limit(config_of(RopeScaling::kNone, 1.0, 0)) == 4096);
  CHECK(position_limit(config_of(RopeScaling::kLinear, 2.5, 0)) == 10240);
  CHECK(position_limit(config_of(RopeScaling::kDynamic, 4.0, 4096)) == 16384);
  // Llama 3.1 and YaRN checkpoints that state the long context beside the original one.
  CHECK(position_limit(config_of(RopeScaling::kLlama3, 8.0, 1024)) == 4096);
  CHECK(position_limit(config_of(RopeScaling::kYarn, 4.0, 1024)) == 4096);
  // Qwen2.5's recipe states the original positions only.
  CHECK(position_limit(config_of(RopeScaling::kYarn, 4.0, 4096)) == 16384);
}

}  // namespace
}  // namespace headscope::model
