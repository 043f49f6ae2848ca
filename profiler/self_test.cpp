#include "profiler/self_test.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <new>
#include <utility>

#include "profiler/profile_run.h"
#include "profiler/scorer_registry.h"
#include "profiler/self_test_compressor.h"
#include "profiler/self_test_kernels.h"
#include "profiler/self_test_models.h"
#include "profiler/self_test_scores.h"
#include "runtime/compressor.h"

namespace headscope::profiler {
namespace {

HeadProfile profile_every_score(const MeasuredModel& model, const std::vector<Probe>& probes) {
  ProfileOptions options;
  options.scores = scorer_names();
  SilentProgress silent;
  return profile_heads(model, probes, options, {}, silent).profile;
}

at::Tensor span_attention_one_too_far(const at::Tensor& q,
                                      const at::Tensor& k,
                                      double scale,
                                      int64_t first_position,
                                      std::span<const kernels::KeySpan> spans,
                                      const std::optional<at::Tensor>& lse) {
  std::vector<kernels::KeySpan> moved(spans.begin(), spans.end());
  for (kernels::KeySpan& span : moved) {
    if (span.end < k.size(1)) span = {span.begin + 1, span.end + 1};
  }
  return kernels::span_attention(q, k, scale, first_position, moved, lse);
}

HeadProfile profile_one_head_off(const MeasuredModel& model, const std::vector<Probe>& probes) {
  HeadProfile profile = profile_every_score(model, probes);
  for (auto& [name, table] : profile.scores) {
    std::vector<double>& values = table.mean.values;
    std::rotate(values.begin(), values.end() - 1, values.end());
  }
  return profile;
}

std::unique_ptr<runtime::KvCache> make_cache_one_short(const BudgetPlan& plan) {
  BudgetPlan less = plan;
  for (auto& layer : less.budget_tokens) {
    for (int64_t& budget : layer) --budget;
  }
  less.method = less.method == "full" ? "streaming" : less.method;
  return runtime::make_cache(less);
}

SelfTestRow run_check(const SelfTestCheck& check) {
  SelfTestRow row;
  row.check = check.name;
  try {
    row.measured = check.measure();
    row.ok = row.measured.ok();
  } catch (const c10::OutOfMemoryError&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& problem) {
    row.measured = {std::nan(""), std::nan("")};
    row.problem = problem.what();
  }
  return row;
}

}  // namespace

SelfTestParts own_parts() {
  return {{}, profile_every_score, [](const BudgetPlan& plan) -> std::unique_ptr<runtime::KvCache> {
            return runtime::make_cache(plan);
          }};
}

SelfTestParts faulty_parts() {
  SelfTestParts parts = own_parts();
  parts.kernels.span_attention = span_attention_one_too_far;
  parts.profile = profile_one_head_off;
  parts.make_cache = make_cache_one_short;
  return parts;
}

std::vector<SelfTestCheck> self_test_checks(at::Device device, const SelfTestParts& parts) {
  const auto models = std::make_shared<PlantedModels>(device, parts);
  std::vector<SelfTestCheck> checks = kernel_checks(device, parts.kernels);
  for (auto more : {score_checks(models), compressor_checks(models, parts)}) {
    checks.insert(checks.end(), std::make_move_iterator(more.begin()),
                  std::make_move_iterator(more.end()));
  }
  return checks;
}

std::vector<SelfTestRow> run_self_test(const std::vector<SelfTestCheck>& checks,
                                       ProgressSink& progress) {
  std::vector<SelfTestRow> rows;
  progress.begin("checks", static_cast<int64_t>(checks.size()));
  for (const SelfTestCheck& check : checks) {
    if (progress.interrupted()) break;
    rows.push_back(run_check(check));
    progress.advance(static_cast<int64_t>(rows.size()));
  }
  return rows;
}

}  // namespace headscope::profiler
