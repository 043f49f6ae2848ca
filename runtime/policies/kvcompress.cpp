// KV-Compress (arXiv 2410.00161): all KV heads of all layers compete with the squared attention
// that their keys receive from the window, summed over the rows and the query heads of the group
// and pooled (quirk squared = false: plain attention). A head's keys, best first, fall into blocks
// of block_tokens, as pages of a paged cache would hold them; a block is worth its best key, and
// the cheapest blocks of the whole model are evicted until the budget is met. The window is
// protected: it opens every head's first block. Quirk even_layers: every layer meets its own
// budget.
//
// Where it differs from the paper's program: the last block kept is cut where the budget ends, so
// that the total is exact to the token, not to the block; eviction happens once, after the prompt.
// The paper's own settings are a window of 8 and max pooling over 7.
#include <ATen/ATen.h>

#include <algorithm>
#include <tuple>
#include <vector>

#include "kernels/ops.h"
#include "runtime/policies/policies.h"
#include "runtime/policies/shared_budget.h"
#include "runtime/policies/window_rule.h"

namespace headscope::runtime {

namespace {

// Keys that one head could keep together.
struct Block {
  float worth = 0.0f;
  size_t row = 0;  // of the layers' KV heads one after the other
  int64_t tokens = 0;
};

at::Tensor squared_attention(const LayerEvidence& evidence, int64_t rows) {
  const int64_t first = evidence.window_q.size(2) - rows;
  std::optional<at::Tensor> lse;
  if (evidence.window_lse.defined()) {
    lse = evidence.window_lse.narrow(/*dim=*/2, first, rows);
  }
  const auto reduction = evidence.selection.quirks.squared ? kernels::WindowReduction::kSquare
                                                           : kernels::WindowReduction::kSum;
  const at::Tensor per_head =
      kernels::window_importance(evidence.window_q.narrow(/*dim=*/2, first, rows), evidence.k,
                                 evidence.scale, {}, {.reduction = reduction}, lse);
  const int64_t num_kv_heads = evidence.k.size(1);
  const at::Tensor of_group =
      per_head.unflatten(1, {num_kv_heads, per_head.size(1) / num_kv_heads}).sum(/*dim=*/2);
  return pooled(of_group, evidence.selection);
}

// The blocks of one layer and sequence. The first one lacks the tokens of the window before it.
void add_blocks(const at::Tensor& ranking,  // [Hkv, n]
                int64_t block_tokens,
                int64_t recent,
                size_t first_row,
                std::vector<Block>& blocks) {
  const int64_t num_keys = ranking.size(1);
  const at::Tensor best_first =
      std::get<0>(at::sort(ranking, /*dim=*/-1, /*descending=*/true)).to(at::kCPU).contiguous();
  const float* score = best_first.const_data_ptr<float>();
  for (int64_t head = 0; head < ranking.size(0); ++head) {
    int64_t begin = 0;
    int64_t tokens = block_tokens - recent % block_tokens;
    while (begin < num_keys) {
      const int64_t fits = std::min(tokens, num_keys - begin);
      blocks.push_back(
          {score[head * num_keys + begin], first_row + static_cast<size_t>(head), fits});
      begin += fits;
      tokens = block_tokens;
    }
  }
}

// Tokens beside the window of every row, from the most worthy blocks on until `pool` is spent.
std::vector<int64_t> spend_on_blocks(std::vector<Block> blocks, size_t num_rows, int64_t pool) {
  std::stable_sort(blocks.begin(), blocks.end(),
                   [](const Block& a, const Block& b) { return a.worth > b.worth; });
  std::vector<int64_t> counts(num_rows, 0);
  for (const Block& block : blocks) {
    const int64_t taken = std::min(block.tokens, pool);
    counts[block.row] += taken;
    pool -= taken;
  }
  return counts;
}

// The layers that share one budget.
std::vector<RetainedPositions> retain_together(std::span<const LayerEvidence> layers) {
  const SharedBudget shared = share_budget(layers);
  const SelectionOptions& selection = layers.front().selection;
  const int64_t batch = layers.front().k.size(0);
  const auto num_kv_heads = static_cast<size_t>(layers.front().k.size(1));
  std::vector<at::Tensor> rankings;
  for (const LayerEvidence& layer : layers) {
    rankings.push_back(squared_attention(layer, shared.rows));
  }
  std::vector<std::vector<int64_t>> counts(layers.size());
  for (int64_t b = 0; b < batch; ++b) {
    std::vector<Block> blocks;
    for (size_t l = 0; l < layers.size(); ++l) {
      add_blocks(with_sinks(rankings[l][b], selection.num_sink_tokens),
                 selection.quirks.block_tokens, shared.recent, l * num_kv_heads, blocks);
    }
    const size_t num_rows = layers.size() * num_kv_heads;
    const std::vector<int64_t> of_rows = spend_on_blocks(
        std::move(blocks), num_rows, shared.total - static_cast<int64_t>(num_rows) * shared.recent);
    for (size_t row = 0; row < num_rows; ++row) {
      counts[row / num_kv_heads].push_back(of_rows[row]);
    }
  }
  std::vector<RetainedPositions> retained;
  for (size_t l = 0; l < layers.size(); ++l) {
    retained.push_back(retain_chosen(layers[l], rankings[l], counts[l], shared.recent));
  }
  return retained;
}

std::vector<RetainedPositions> retain_kvcompress(std::span<const LayerEvidence> layers) {
  if (!layers.front().selection.quirks.even_layers) {
    return retain_together(layers);
  }
  std::vector<RetainedPositions> retained;
  for (const LayerEvidence& layer : layers) {
    retained.push_back(std::move(retain_together({&layer, 1}).front()));
  }
  return retained;
}

}  // namespace

EvictionPolicy kvcompress_policy() {
  return {.name = "kvcompress",
          .summary = "the best blocks of all heads and layers by squared attention (KV-Compress)",
          .judges_by_window = true,
          .scope = BudgetScope::kModel,
          .published = {.observation_window = 8, .pooling = Pooling::kMax, .pooling_kernel = 7},
          .retain_model = retain_kvcompress};
}

}  // namespace headscope::runtime
