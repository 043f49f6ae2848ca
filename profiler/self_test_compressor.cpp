#include "profiler/self_test_compressor.h"

#include <ATen/ATen.h>

#include <string>

#include "runtime/compressor.h"
#include "runtime/eviction_policy.h"

namespace headscope::profiler {
namespace {

constexpr int64_t kDecodeSteps = 6;

// The prompt's last logits and those of a few steps over its first tokens, [1 + steps, vocab].
at::Tensor logits_of(const PlantedModel& planted, runtime::KvCache& cache) {
  const Probe& probe = planted.probes.front();
  std::vector<at::Tensor> rows{
      planted.decoder->prefill(probe.prompt, cache, {.chunk_tokens = 100}).squeeze(0)};
  for (int64_t step = 0; step < kDecodeSteps; ++step) {
    const int64_t token = probe.prompt[static_cast<size_t>(step)];
    rows.push_back(planted.decoder->forward(at::full({1, 1}, token, at::kLong), cache).squeeze(0));
  }
  return at::cat(rows, 0);
}

BudgetPlan keep_everything(const std::string& method, const PlantedModel& planted) {
  const ModelShape& shape = planted.identity.shape;
  const auto prompt_tokens = static_cast<int64_t>(planted.probes.front().prompt.size());
  BudgetPlan plan = runtime::uniform_plan(
      method, shape, runtime::budget_for_retention(/*retention=*/1.0, prompt_tokens));
  plan.model = planted.identity;
  if (runtime::find_policy(method).needs_selector_heads) {
    plan.selector_heads.assign(static_cast<size_t>(shape.num_layers), {0});
  }
  return plan;
}

Measurement measure_method(const std::string& method,
                           PlantedModels& models,
                           const SelfTestParts& parts) {
  int64_t different = 0;
  for (const int64_t group : self_test_group_sizes()) {
    const PlantedModel& planted = models.of_group(group).front();
    runtime::FullKvCache full(planted.identity.shape.num_layers);
    const auto cache = parts.make_cache(keep_everything(method, planted));
    different += logits_of(planted, full).ne(logits_of(planted, *cache)).sum().item<int64_t>();
  }
  return {static_cast<double>(different), 0.0};
}

}  // namespace

std::vector<SelfTestCheck> compressor_checks(const std::shared_ptr<PlantedModels>& models,
                                             const SelfTestParts& parts) {
  std::vector<SelfTestCheck> checks;
  for (const runtime::EvictionPolicy& policy : runtime::eviction_policies()) {
    const std::string method(policy.name);
    checks.push_back({"cache " + method + ", retention 1.0",
                      [=] { return measure_method(method, *models, parts); }});
  }
  return checks;
}

}  // namespace headscope::profiler
