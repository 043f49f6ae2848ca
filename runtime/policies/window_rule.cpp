#include "runtime/policies/window_rule.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <vector>

#include "kernels/ops.h"

namespace headscope::runtime {

namespace {

kernels::WindowPooling kernel_pooling(Pooling pooling) {
  switch (pooling) {
    case Pooling::kAverage:
      return kernels::WindowPooling::kAverage;
    case Pooling::kMax:
      return kernels::WindowPooling::kMax;
    case Pooling::kNone:
      break;
  }
  return kernels::WindowPooling::kNone;
}

at::Tensor index_range(int64_t begin, int64_t end, const at::Tensor& like) {
  return at::arange(begin, end, like.options().dtype(at::kLong));
}

// Retained positions of rankings [B, heads, S - rows] that share one budget, one tensor per (b,
// head).
RetainedPositions retain_of_budget(const LayerEvidence& evidence,
                                   const at::Tensor& ranked,
                                   int64_t budget,
                                   int64_t rows) {
  const int64_t num_keys = evidence.k.size(2);
  const auto num_rankings = static_cast<size_t>(ranked.size(0) * ranked.size(1));
  if (budget >= num_keys) {
    return RetainedPositions(num_rankings, index_range(0, num_keys, evidence.k));
  }
  const int64_t recent = recent_tokens(budget, num_keys, rows);
  const std::vector<int64_t> count(num_rankings, budget - recent);
  RetainedPositions retained =
      kernels::select_retained(ranked.reshape({-1, ranked.size(2)}), count);
  const at::Tensor window = index_range(num_keys - recent, num_keys, evidence.k);
  for (at::Tensor& positions : retained) {
    positions = at::cat({positions.to(evidence.k.device()), window});
  }
  return retained;
}

}  // namespace

int64_t judging_rows(std::span<const int64_t> budget_tokens,
                     int64_t num_keys,
                     const SelectionOptions& selection) {
  int64_t largest = 0;
  bool evicts = false;
  for (const int64_t budget : budget_tokens) {
    if (budget < num_keys) {
      evicts = true;
      largest = std::max(largest, budget);
    }
  }
  return evicts ? std::min(selection.observation_window, std::max<int64_t>(1, largest / 2)) : 0;
}

int64_t recent_tokens(int64_t budget, int64_t num_keys, int64_t rows) {
  const int64_t usual = std::min(rows, std::max<int64_t>(1, budget / 2));
  return std::min(budget, std::max(usual, budget - (num_keys - rows)));
}

at::Tensor window_scores(const LayerEvidence& evidence,
                         int64_t rows,
                         std::span<const int64_t> heads) {
  const int64_t first = evidence.window_q.size(2) - rows;
  std::optional<at::Tensor> lse;
  if (evidence.window_lse.defined()) {
    lse = evidence.window_lse.narrow(/*dim=*/2, first, rows);
  }
  return kernels::window_importance(evidence.window_q.narrow(/*dim=*/2, first, rows), evidence.k,
                                    evidence.scale, heads,
                                    {.reduction = kernels::WindowReduction::kSum,
                                     .pooling = kernel_pooling(evidence.selection.pooling),
                                     .pooling_kernel = evidence.selection.pooling_kernel},
                                    lse);
}

IndexSets index_sets(const LayerEvidence& evidence, IndexSets own) {
  const IndexSets asked = evidence.selection.index_sets;
  return asked == IndexSets::kOwn ? own : asked;
}

at::Tensor group_votes(const LayerEvidence& evidence, const at::Tensor& scores) {
  const int64_t num_kv_heads = evidence.k.size(1);
  const at::Tensor grouped = scores.unflatten(1, {num_kv_heads, scores.size(1) / num_kv_heads});
  return evidence.selection.quirks.group_max ? grouped.amax(/*dim=*/2) : grouped.mean(/*dim=*/2);
}

at::Tensor window_ranking(const LayerEvidence& evidence, int64_t rows, IndexSets own) {
  const at::Tensor scores = window_scores(evidence, rows, /*heads=*/{});
  return index_sets(evidence, own) == IndexSets::kLayer ? scores.mean(/*dim=*/1, /*keepdim=*/true)
                                                        : group_votes(evidence, scores);
}

at::Tensor pooled(const at::Tensor& scores, const SelectionOptions& selection) {
  const int64_t kernel = selection.pooling_kernel;
  if (selection.pooling == Pooling::kNone || kernel == 1 || scores.numel() == 0) {
    return scores;
  }
  return selection.pooling == Pooling::kAverage
             ? at::avg_pool1d(scores, kernel, /*stride=*/1, /*padding=*/kernel / 2)
             : at::max_pool1d(scores, kernel, /*stride=*/1, /*padding=*/kernel / 2);
}

at::Tensor with_sinks(const at::Tensor& scores, int64_t num_sinks) {
  at::Tensor ranked = scores.clone();
  // The first tokens come first where the budget is short: ties go to the lower position.
  ranked.narrow(/*dim=*/-1, 0, std::min(num_sinks, ranked.size(-1)))
      .fill_(std::numeric_limits<float>::infinity());
  return ranked;
}

RetainedPositions retain_chosen(const LayerEvidence& evidence,
                                const at::Tensor& scores,
                                const std::vector<int64_t>& chosen,
                                int64_t recent) {
  const int64_t num_kv_heads = evidence.k.size(1);
  const int64_t num_keys = evidence.k.size(2);
  const at::Tensor ranked = with_sinks(scores, evidence.selection.num_sink_tokens)
                                .expand({scores.size(0), num_kv_heads, scores.size(2)})
                                .reshape({static_cast<int64_t>(chosen.size()), scores.size(2)});
  RetainedPositions retained = kernels::select_retained(ranked, chosen);
  const at::Tensor window = index_range(num_keys - recent, num_keys, evidence.k);
  for (at::Tensor& positions : retained) {
    positions = at::cat({positions.to(evidence.k.device()), window});
  }
  return retained;
}

RetainedPositions retain_best(const LayerEvidence& evidence,
                              const at::Tensor& scores,
                              int64_t rows) {
  const int64_t batch = scores.size(0);
  const int64_t num_kv_heads = evidence.k.size(1);
  const int64_t num_keys = evidence.k.size(2);
  const bool shared = scores.size(1) == 1;
  const at::Tensor ranked = with_sinks(scores, evidence.selection.num_sink_tokens);

  // Heads of one budget are selected together; with a shared ranking they share the result too.
  std::map<int64_t, std::vector<int64_t>> heads_of_budget;
  for (int64_t head = 0; head < num_kv_heads; ++head) {
    const int64_t budget = evidence.budget_tokens[static_cast<size_t>(head)];
    heads_of_budget[std::min(budget, num_keys)].push_back(head);
  }
  RetainedPositions retained(static_cast<size_t>(batch * num_kv_heads));
  for (const auto& [budget, heads] : heads_of_budget) {
    const at::Tensor of_heads =
        shared ? ranked
               : ranked.index_select(
                     /*dim=*/1, at::tensor(heads, at::kLong).to(evidence.k.device()));
    const RetainedPositions chosen = retain_of_budget(evidence, of_heads, budget, rows);
    const auto num_chosen = static_cast<int64_t>(of_heads.size(1));
    for (int64_t b = 0; b < batch; ++b) {
      for (size_t i = 0; i < heads.size(); ++i) {
        const int64_t from = b * num_chosen + (shared ? 0 : static_cast<int64_t>(i));
        retained[static_cast<size_t>(b * num_kv_heads + heads[i])] =
            chosen[static_cast<size_t>(from)];
      }
    }
  }
  return retained;
}

RetainedPositions retain_all(const LayerEvidence& evidence) {
  const at::Tensor everything = index_range(0, evidence.k.size(2), evidence.k);
  return RetainedPositions(static_cast<size_t>(evidence.k.size(0) * evidence.k.size(1)),
                           everything);
}

}  // namespace headscope::runtime
