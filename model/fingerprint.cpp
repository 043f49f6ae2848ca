#include "model/fingerprint.h"

#include <c10/util/BFloat16.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <span>

#include "model/config_check.h"
#include "outputs/sha256.h"

namespace headscope::model {
namespace {

template <typename T>
void add(Sha256& hash, T value) {
  hash.update(std::as_bytes(std::span(&value, 1)));
}

void add_text(Sha256& hash, const std::string& text) {
  add(hash, static_cast<uint64_t>(text.size()));
  hash.update(text);
}

void add_float(Sha256& hash, double value) {
  add(hash, static_cast<float>(value));
}

// Radians per position of each rotated pair, for the kinds of scaling that do not depend on length.
std::vector<double> rotary_frequencies(const RopeConfig& rope, int64_t head_dim) {
  std::vector<double> frequencies;
  for (int64_t i = 0; i < head_dim / 2; ++i) {
    const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(head_dim);
    double frequency = std::pow(rope.theta, -exponent);
    if (rope.scaling == RopeScaling::kLinear) frequency /= rope.factor;
    if (rope.scaling == RopeScaling::kLlama3) {
      // Turns of this pair within the original context, as Llama 3.1's reference code has it.
      const double turns =
          static_cast<double>(rope.original_max_positions) * frequency / (2 * std::numbers::pi);
      const double smooth =
          (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
      const double kept = std::min(1.0, std::max(0.0, smooth));
      frequency *= (1 - kept) / rope.factor + kept;
    }
    if (!rope.frequency_factors.empty()) {
      frequency /= static_cast<double>(rope.frequency_factors[static_cast<size_t>(i)]);
    }
    frequencies.push_back(frequency);
  }
  return frequencies;
}

double yarn_attention_factor(const RopeConfig& rope) {
  if (rope.attention_factor) return *rope.attention_factor;
  const auto scale = [&](double mscale) {
    return rope.factor <= 1 ? 1.0 : 0.1 * mscale * std::log(rope.factor) + 1.0;
  };
  if (rope.mscale.value_or(0) != 0 && rope.mscale_all_dim.value_or(0) != 0) {
    return scale(*rope.mscale) / scale(*rope.mscale_all_dim);
  }
  return scale(1.0);
}

void add_rope(Sha256& hash, const RopeConfig& rope, int64_t head_dim) {
  add_float(hash, rope.theta);
  if (rope.scaling == RopeScaling::kDynamic || rope.scaling == RopeScaling::kYarn) {
    add_text(hash, rope.scaling == RopeScaling::kDynamic ? "dynamic" : "yarn");
    add_float(hash, rope.factor);
    add_float(hash, static_cast<double>(rope.original_max_positions));
    if (rope.scaling == RopeScaling::kDynamic) return;
    add_float(hash, rope.beta_fast);
    add_float(hash, rope.beta_slow);
    add_float(hash, yarn_attention_factor(rope));
    add_float(hash, rope.truncate ? 1.0 : 0.0);
    return;
  }
  add_text(hash, "table");
  for (const double frequency : rotary_frequencies(rope, head_dim)) {
    add(hash, c10::BFloat16(static_cast<float>(frequency)).x);
  }
}

}  // namespace

uint16_t fingerprint_bits(float value) {
  auto rounded = static_cast<float>(c10::BFloat16(value));
  // Below 2^-17 half precision is coarser than bfloat16.
  if (std::abs(rounded) < 0x1p-17F) rounded = std::nearbyint(rounded * 0x1p24F) * 0x1p-24F;
  return rounded == 0.0F ? uint16_t{0} : c10::BFloat16(rounded).x;  // -0 counts as 0
}

std::string fingerprint_of(const ModelConfig& config, const WeightSource& weights) {
  Sha256 hash;
  add_text(hash, "headscope.fingerprint.1");
  for (const int64_t size :
       {config.num_layers, config.num_query_heads, config.num_kv_heads, config.head_dim,
        config.hidden_size, config.intermediate_size, config.vocab_size, config.max_positions}) {
    add(hash, size);
  }
  for (const int64_t window : config.attention_window) add(hash, window);
  add_float(hash, config.rms_norm_eps);
  add_rope(hash, config.rope, config.head_dim);
  for (const ExpectedTensor& tensor : expected_tensors(config)) {
    add_text(hash, tensor.name);
    add(hash, static_cast<int64_t>(tensor.dims.size()));
    for (const int64_t dim : tensor.dims) add(hash, dim);
    for (const float value : weights.sample(tensor.name, kFingerprintValues)) {
      add(hash, fingerprint_bits(value));
    }
  }
  return hash.finish();
}

}  // namespace headscope::model
