// The attention layers that the benchmarks run on, and what peers do to their keys.
#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

namespace headscope::benchmarks {

struct LayerSize {
  const char* name;
  int64_t num_query_heads, num_kv_heads, head_dim, hidden;

  [[nodiscard]] int64_t group() const { return num_query_heads / num_kv_heads; }
  [[nodiscard]] double scale() const { return 1.0 / std::sqrt(static_cast<double>(head_dim)); }
};
inline constexpr LayerSize kLlama{"Llama-3.1-8B layer", 32, 8, 128, 4096};
inline constexpr LayerSize kSmol{"SmolLM2-135M layer", 9, 3, 64, 576};
// For checks: a group size and a head_dim that are no powers of two.
inline constexpr LayerSize kSmall{"groups of 3", 6, 2, 96, 96};

// [B, Hkv, S, d] -> [B, Hkv * group, S, d], copied, as transformers' repeat_kv does.
inline at::Tensor repeat_kv(const at::Tensor& t, int64_t group) {
  const int64_t b = t.size(0), heads = t.size(1), n = t.size(2), d = t.size(3);
  return t.unsqueeze(2).expand({b, heads, group, n, d}).reshape({b, heads * group, n, d});
}

// Scores as pooled window attention has them: heavy-tailed, alike for neighbours. [rows, n].
inline at::Tensor heavy_tailed_scores(int64_t rows, int64_t n) {
  const at::Tensor raw = (at::randn({rows, 1, n}) * 2.0).exp();
  return at::avg_pool1d(raw, {5}, {1}, {2}).squeeze(1);
}

}  // namespace headscope::benchmarks
