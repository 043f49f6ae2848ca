#include "model/rotary.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "model/row_math.h"
#include "model/row_tasks.h"
#include "outputs/input_error.h"

namespace headscope::model {
namespace {

int64_t original_positions(const ModelConfig& config) {
  return config.rope.original_max_positions > 0 ? config.rope.original_max_positions
                                                : config.max_positions;
}

// base ** (2 i / head_dim), float32 [head_dim / 2].
at::Tensor wavelengths(double base, int64_t head_dim) {
  const at::Tensor exponent = at::arange(0, head_dim, 2, at::kLong).to(at::kFloat) / head_dim;
  return at::pow(at::Scalar(base), exponent);
}

at::Tensor llama3_frequencies(const RopeConfig& rope, int64_t head_dim, int64_t original) {
  const at::Tensor plain = wavelengths(rope.theta, head_dim).reciprocal();
  const auto context = static_cast<double>(original);
  const at::Tensor wavelength = plain.reciprocal() * (2.0 * std::numbers::pi);
  const at::Tensor is_long = wavelength > context / rope.low_freq_factor;
  const at::Tensor is_short = wavelength < context / rope.high_freq_factor;
  const at::Tensor stretched = at::where(is_long, plain / rope.factor, plain);
  const at::Tensor smooth = (wavelength.reciprocal() * context - rope.low_freq_factor) /
                            (rope.high_freq_factor - rope.low_freq_factor);
  const at::Tensor blended = at::rsub(smooth, 1) * stretched / rope.factor + smooth * stretched;
  return at::where(at::logical_or(is_long, is_short), stretched, blended);
}

// The dimension whose wave turns `rotations` times within the original positions.
double correction_dimension(const RopeConfig& rope,
                            int64_t head_dim,
                            int64_t original,
                            double rotations) {
  return static_cast<double>(head_dim) *
         std::log(static_cast<double>(original) / (rotations * 2.0 * std::numbers::pi)) /
         (2.0 * std::log(rope.theta));
}

at::Tensor yarn_frequencies(const RopeConfig& rope, int64_t head_dim, int64_t original) {
  const at::Tensor waves = wavelengths(rope.theta, head_dim);
  double low = correction_dimension(rope, head_dim, original, rope.beta_fast);
  double high = correction_dimension(rope, head_dim, original, rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(head_dim - 1));
  if (low == high) high += 0.001;  // a ramp of zero length would divide by zero
  const at::Tensor ramp = ((at::arange(head_dim / 2, at::kFloat) - low) / (high - low)).clamp(0, 1);
  const at::Tensor kept = at::rsub(ramp, 1);
  return (waves * rope.factor).reciprocal() * at::rsub(kept, 1) + waves.reciprocal() * kept;
}

double yarn_mscale(double factor, double mscale) {
  return factor <= 1.0 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

double attention_factor_of(const RopeConfig& rope) {
  if (rope.scaling != RopeScaling::kYarn) return 1.0;
  if (rope.attention_factor) return *rope.attention_factor;
  const double mscale = rope.mscale.value_or(0.0);
  const double mscale_all_dim = rope.mscale_all_dim.value_or(0.0);
  if (mscale != 0.0 && mscale_all_dim != 0.0) {
    return yarn_mscale(rope.factor, mscale) / yarn_mscale(rope.factor, mscale_all_dim);
  }
  return yarn_mscale(rope.factor, 1.0);
}

// NTK-aware base for a sequence of `length` tokens; float32, as transformers computes it from the
// tensor of positions.
double dynamic_base(const RopeConfig& rope, int64_t head_dim, int64_t original, int64_t length) {
  const at::Tensor stretch =
      at::scalar_tensor(length, at::kLong) * rope.factor / static_cast<double>(original) -
      (rope.factor - 1.0);
  const double exponent = static_cast<double>(head_dim) / static_cast<double>(head_dim - 2);
  return (at::pow(stretch, exponent) * rope.theta).item<double>();
}

template <typename Element>
void rotate_rows(const at::Tensor& heads, const RotaryTable& table) {
  const int64_t n = heads.size(1);
  const int64_t num_heads = heads.size(2);
  const int64_t half = heads.size(3) / 2;
  auto* const data = heads.data_ptr<Element>();
  const float* const cos = table.cos.const_data_ptr<float>();
  const float* const sin = table.sin.const_data_ptr<float>();
  const int64_t row_size = num_heads * heads.size(3);
  at::parallel_for(0, heads.size(0) * n, rows_per_task(row_size), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* const c = cos + (row % n) * half;
      const float* const s = sin + (row % n) * half;
      Element* head = data + (row / n) * heads.stride(0) + (row % n) * heads.stride(1);
      for (int64_t h = 0; h < num_heads; ++h, head += heads.stride(2)) {
        rotate_pairs(head, head + half, c, s, half);
      }
    }
  });
}

void rotate_on_device(const at::Tensor& heads, const RotaryTable& table) {
  const int64_t half = heads.size(3) / 2;
  const at::Tensor cos = table.cos.unsqueeze(1);
  const at::Tensor sin = table.sin.unsqueeze(1);
  const at::Tensor lower = heads.narrow(3, 0, half);
  const at::Tensor upper = heads.narrow(3, half, half);
  const at::Tensor turned = lower * cos - upper * sin;
  upper.copy_(upper * cos + lower * sin);
  lower.copy_(turned);
}

}  // namespace

int64_t position_limit(const ModelConfig& config) {
  switch (config.rope.scaling) {
    case RopeScaling::kNone:
    case RopeScaling::kLlama3:
      return config.max_positions;
    case RopeScaling::kLinear:
    case RopeScaling::kDynamic:
    case RopeScaling::kYarn:
      break;
  }
  const double reach = static_cast<double>(original_positions(config)) * config.rope.factor;
  return std::max(config.max_positions, static_cast<int64_t>(reach));
}

Rotary::Rotary(const ModelConfig& config, at::Device device)
    : rope_(config.rope),
      head_dim_(config.head_dim),
      original_positions_(original_positions(config)),
      attention_factor_(attention_factor_of(config.rope)),
      device_(device) {
  if (head_dim_ <= 2 || head_dim_ % 2 != 0) {
    throw InputError("head_dim", "an even number above 2", std::to_string(head_dim_));
  }
  const auto num_factors = static_cast<int64_t>(rope_.frequency_factors.size());
  if (num_factors != 0 && num_factors != head_dim_ / 2) {
    throw InputError("rope_freqs.weight", std::to_string(head_dim_ / 2) + " frequency factors",
                     std::to_string(num_factors));
  }
  device_frequencies_ = frequencies(/*sequence_length=*/0).to(device);
}

at::Tensor Rotary::frequencies(int64_t sequence_length) const {
  at::Tensor result;
  switch (rope_.scaling) {
    case RopeScaling::kNone:
      result = wavelengths(rope_.theta, head_dim_).reciprocal();
      break;
    case RopeScaling::kLinear:
      result = wavelengths(rope_.theta, head_dim_).reciprocal() / rope_.factor;
      break;
    case RopeScaling::kDynamic: {
      const int64_t length = std::max(sequence_length, original_positions_);
      const double base = dynamic_base(rope_, head_dim_, original_positions_, length);
      result = wavelengths(base, head_dim_).reciprocal();
      break;
    }
    case RopeScaling::kLlama3:
      result = llama3_frequencies(rope_, head_dim_, original_positions_);
      break;
    case RopeScaling::kYarn:
      result = yarn_frequencies(rope_, head_dim_, original_positions_);
      break;
  }
  if (!rope_.frequency_factors.empty()) {
    result = result / at::tensor(rope_.frequency_factors, at::kFloat);
  }
  return result;
}

RotaryTable Rotary::table(int64_t first, int64_t count) const {
  return table_of(at::arange(first, first + count, at::TensorOptions(device_).dtype(at::kLong)),
                  first + count);
}

RotaryTable Rotary::table(std::span<const int64_t> positions) const {
  return table_of(at::tensor(positions, at::kLong).to(device_),
                  *std::max_element(positions.begin(), positions.end()) + 1);
}

RotaryTable Rotary::table_of(const at::Tensor& positions, int64_t end) const {
  const bool stretched = rope_.scaling == RopeScaling::kDynamic && end > original_positions_;
  const at::Tensor radians = stretched ? frequencies(end).to(device_) : device_frequencies_;
  const at::Tensor angles = positions.to(at::kFloat).unsqueeze(1) * radians;
  RotaryTable table{at::cos(angles), at::sin(angles)};
  if (attention_factor_ != 1.0) {
    table.cos.mul_(attention_factor_);
    table.sin.mul_(attention_factor_);
  }
  return table;
}

void rotate_heads_(at::Tensor heads, const RotaryTable& table) {
  if (!heads.is_cpu()) {
    rotate_on_device(heads, table);
  } else if (heads.scalar_type() == at::kFloat) {
    rotate_rows<float>(heads, table);
  } else if (heads.scalar_type() == at::kBFloat16) {
    rotate_rows<at::BFloat16>(heads, table);
  } else {
    rotate_rows<at::Half>(heads, table);
  }
}

}  // namespace headscope::model
