// AdaCompressKV (arXiv 2606.24467, orthogonality tests): Ada-KV's head budgets inside the layer
// budgets of CompressKV's allocator, every head keeping a prefix of the layer's one ranking by
// semantic retrieval heads.
//
// Where it differs from the published code: heads vote by their own groups {kG .. kG + G - 1},
// where that code averages the heads k, k + K, …
#include <ATen/ATen.h>

#include "runtime/policies/adakv.h"
#include "runtime/policies/policies.h"
#include "runtime/policies/window_rule.h"

namespace headscope::runtime {

namespace {

RetainedPositions retain_adacompresskv(const LayerEvidence& evidence) {
  const SharedBudget shared = share_budget({&evidence, 1});
  const at::Tensor competing =
      group_votes(evidence, window_scores(evidence, shared.rows, /*heads=*/{}));
  return retain_chosen(evidence, selector_ranking(evidence, shared.rows),
                       ada_head_counts(evidence, competing, shared), shared.recent);
}

}  // namespace

EvictionPolicy adacompresskv_policy() {
  EvictionPolicy policy = compresskv_policy();
  policy.name = "adacompresskv";
  policy.summary = "compresskv's ranking and layer budgets, with adakv's head budgets";
  policy.scope = BudgetScope::kLayer;
  policy.retain = retain_adacompresskv;
  return policy;
}

}  // namespace headscope::runtime
