// Ada-KV (arXiv 2407.11550): the KV heads of a layer share its budget by competing with their
// scores. Window scores as in SnapKV; the best K * base keys of all heads together (base = the mean
// budget less the window) say how many each head gets: count * (1 - floor) + floor * base, floor =
// quirk head_floor; every head then keeps its own best keys and the window. Quirk weigh_heads: a
// head's scores compete scaled by the share of its mass that its own best base keys hold.
//
// Where it differs from the paper's program: it rounds every head's number by itself, which misses
// the budget by up to half a token per head; here fractions are settled so that the layer's total
// is exact. The program keeps budgets and caches per query head. Its own settings are a window of
// 32 and max pooling over 7.
#include "runtime/policies/adakv.h"

#include <ATen/ATen.h>

#include <tuple>

#include "kernels/ops.h"
#include "runtime/policies/policies.h"
#include "runtime/policies/window_rule.h"

namespace headscope::runtime {

namespace {

// Scaled by the share of a head's mass that its best `base` keys hold.
at::Tensor weighed(const at::Tensor& ranking, int64_t base) {
  const at::Tensor best =
      std::get<0>(at::topk(ranking, base, /*dim=*/-1)).sum(-1, /*keepdim=*/true);
  return ranking * (best / ranking.sum(-1, /*keepdim=*/true).clamp_min(1e-30));
}

RetainedPositions retain_adakv(const LayerEvidence& evidence) {
  const SharedBudget shared = share_budget({&evidence, 1});
  const at::Tensor ranking = window_ranking(evidence, shared.rows, IndexSets::kKvHead)
                                 .expand({-1, evidence.k.size(1), -1});
  return retain_chosen(evidence, ranking, ada_head_counts(evidence, ranking, shared),
                       shared.recent);
}

}  // namespace

std::vector<int64_t> ada_head_counts(const LayerEvidence& evidence,
                                     const at::Tensor& ranking,
                                     const SharedBudget& shared) {
  const int64_t batch = ranking.size(0);
  const int64_t num_heads = ranking.size(1);
  const int64_t num_keys = ranking.size(2);
  const int64_t pool = shared.total - num_heads * shared.recent;
  const MethodQuirks& quirks = evidence.selection.quirks;
  const at::Tensor competing =
      with_sinks(quirks.weigh_heads ? weighed(ranking, pool / num_heads) : ranking,
                 evidence.selection.num_sink_tokens);
  const double equal = static_cast<double>(pool) / static_cast<double>(num_heads);
  std::vector<int64_t> counts;
  const std::vector<int64_t> wanted(static_cast<size_t>(batch), pool);
  for (const at::Tensor& best :
       kernels::select_retained(competing.reshape({batch, num_heads * num_keys}), wanted)) {
    const at::Tensor of_heads =
        at::bincount(best.div(num_keys, "floor"), {}, num_heads).to(at::kCPU, at::kDouble);
    const double* count = of_heads.const_data_ptr<double>();
    std::vector<double> shares;
    for (int64_t head = 0; head < num_heads; ++head) {
      shares.push_back(count[head] * (1.0 - quirks.head_floor) + equal * quirks.head_floor);
    }
    const std::vector<int64_t> whole = to_whole_tokens(shares, pool);
    counts.insert(counts.end(), whole.begin(), whole.end());
  }
  return counts;
}

EvictionPolicy adakv_policy() {
  return {.name = "adakv",
          .summary = "snapkv, with head budgets by what the heads look at (Ada-KV)",
          .judges_by_window = true,
          .scope = BudgetScope::kLayer,
          .published = {.observation_window = 32, .pooling = Pooling::kMax, .pooling_kernel = 7},
          .retain = retain_adakv};
}

}  // namespace headscope::runtime
