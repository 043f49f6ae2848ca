// Problems for allocators: bare ones, and random ones with every measurement that any of them
// reads, distinct values.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "analysis/allocator.h"

namespace headscope::analysis::testing {

// Uniform in [0, 1).
inline double uniform(std::mt19937_64& random) {
  return static_cast<double>(random() >> 11) * 0x1.0p-53;
}

inline int64_t between(std::mt19937_64& random, int64_t low, int64_t high) {
  return low + static_cast<int64_t>(random() % static_cast<uint64_t>(high - low + 1));
}

// A shape and a budget per KV head, nothing measured.
inline AllocatorInput input_of(int64_t layers,
                               int64_t kv_heads,
                               int64_t group_size,
                               int64_t budget) {
  AllocatorInput input;
  input.shape.num_layers = layers;
  input.shape.num_kv_heads = kv_heads;
  input.shape.num_query_heads = kv_heads * group_size;
  input.shape.head_dim = 64;
  input.budget_tokens = budget;
  return input;
}

inline HeadMatrix random_matrix(std::mt19937_64& random, int64_t layers, int64_t heads) {
  HeadMatrix matrix(layers, heads);
  for (double& value : matrix.values) value = uniform(random) * uniform(random);
  return matrix;
}

// Falling curves with noise, so that their hulls differ from them.
inline HeadErrorCurves random_curves(std::mt19937_64& random, int64_t num_heads) {
  HeadErrorCurves curves;
  curves.budgets = {8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048, 4096};
  for (int64_t head = 0; head < num_heads; ++head) {
    const double scale = 0.05 + uniform(random);
    const double power = 0.2 + uniform(random);
    for (const int64_t budget : curves.budgets) {
      const double noise = 0.8 + 0.4 * uniform(random);
      curves.error.push_back(scale * noise * std::pow(static_cast<double>(budget) / 8.0, -power));
    }
  }
  return curves;
}

inline AllocatorInput random_input(std::mt19937_64& random,
                                   int64_t layers,
                                   int64_t kv_heads,
                                   int64_t group_size) {
  AllocatorInput input = input_of(layers, kv_heads, group_size, /*budget=*/0);
  for (int64_t layer = 0; layer < layers; ++layer) {
    input.layer_error.push_back(0.01 + uniform(random));
  }
  input.head_scores = random_matrix(random, layers, input.shape.num_query_heads);
  input.induction = random_matrix(random, layers, input.shape.num_query_heads);
  input.echo = random_matrix(random, layers, input.shape.num_query_heads);
  input.gates = random_matrix(random, layers, kv_heads);
  input.curves = random_curves(random, layers * kv_heads);
  input.headkv.beta = 1.01 + 2.0 * uniform(random);
  input.gates_options.num_recent_tokens = between(random, 4, 64);
  input.context_length = between(random, 600, 5000);
  input.budget_tokens = between(random, 80, 500);
  input.extra_tokens = between(random, 0, layers * kv_heads - 1);
  return input;
}

// A shape of every kind that models come in, the group sizes 1, 2, 4, 5, 7 and 8 among them.
inline AllocatorInput random_input(std::mt19937_64& random) {
  const std::vector<int64_t> group_sizes{1, 2, 4, 5, 7, 8};
  const std::vector<int64_t> kv_heads{1, 2, 3, 4, 8};
  return random_input(random, between(random, 1, 12), kv_heads[random() % kv_heads.size()],
                      group_sizes[random() % group_sizes.size()]);
}

inline std::vector<int64_t> flat(const std::vector<std::vector<int64_t>>& budgets) {
  std::vector<int64_t> all;
  for (const std::vector<int64_t>& layer : budgets)
    all.insert(all.end(), layer.begin(), layer.end());
  return all;
}

}  // namespace headscope::analysis::testing
