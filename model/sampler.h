// Picks the next token from a row of logits: greedy, or by temperature, top-k and top-p (nucleus
// sampling, Holtzman et al., 1904.09751), in that order. The same seed gives the same tokens on
// every platform.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <random>

namespace headscope::model {

struct SamplingOptions {
  double temperature = 0.0;  // >= 0; 0 = greedy
  int64_t top_k = 0;         // >= 0; only the k likeliest tokens; 0 = all
  double top_p = 1.0;        // in (0, 1]; the likeliest tokens that together reach this mass
  uint64_t seed = 0;
};

class Sampler {
 public:
  // InputError names an option out of its range.
  explicit Sampler(const SamplingOptions& options);

  // Ties go to the lower id. InputError where no logit is a number (broken weights, or a dtype too
  // narrow for the model).
  [[nodiscard]] int64_t next(const at::Tensor& logits);  // [vocab] float32, any device

 private:
  SamplingOptions options_;
  std::mt19937_64 random_;
};

}  // namespace headscope::model
