#include "profiler/random_control.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "analysis/seeded_shuffle.h"
#include "outputs/budget_plan.h"
#include "runtime/policies/window_rule.h"

namespace headscope::profiler {
namespace {

// `count` of 0..num_keys-1, ascending: the last `recent`, and others drawn.
at::Tensor draw_positions(int64_t num_keys,
                          int64_t count,
                          int64_t recent,
                          std::mt19937_64& random) {
  std::vector<int64_t> positions(static_cast<size_t>(num_keys - recent));
  std::iota(positions.begin(), positions.end(), 0);
  analysis::seeded_shuffle(positions, random);
  positions.resize(static_cast<size_t>(count - recent));
  for (int64_t position = num_keys - recent; position < num_keys; ++position) {
    positions.push_back(position);
  }
  std::sort(positions.begin(), positions.end());
  return at::tensor(positions, at::kLong);
}

}  // namespace

std::unique_ptr<runtime::RaggedKvCache> keep_random_tokens(const runtime::FullKvCache& full,
                                                           int64_t budget_tokens,
                                                           uint64_t seed) {
  const int64_t num_tokens = full.next_position();
  auto kept = std::make_unique<runtime::RaggedKvCache>(full.num_layers(), num_tokens);
  std::mt19937_64 random(seed);
  for (int64_t layer = 0; layer < full.num_layers(); ++layer) {
    const at::Tensor keys = full.keys(layer);
    // A sliding window's layer keeps at most what its next query can see.
    const int64_t window = full.window(layer).attention_window;
    const int64_t visible = window > 0 ? std::min(num_tokens, window - 1) : num_tokens;
    if (budget_tokens >= visible && visible == num_tokens) {
      kept->set_layer(layer, full.copy_layer(layer));
      continue;
    }
    const int64_t count = std::min(budget_tokens, visible);
    const int64_t recent =
        runtime::recent_tokens(count, visible, SelectionOptions().observation_window);
    std::vector<at::Tensor> retained;
    for (int64_t row = 0; row < keys.size(0) * keys.size(1); ++row) {
      retained.push_back(draw_positions(visible, count, recent, random).to(keys.device()));
    }
    const int64_t first = num_tokens - visible;
    kept->set_layer(
        layer, runtime::RaggedLayer(keys.narrow(/*dim=*/2, first, visible),
                                    full.values(layer).narrow(/*dim=*/2, first, visible), retained,
                                    first));
  }
  return kept;
}

}  // namespace headscope::profiler
