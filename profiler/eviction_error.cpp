#include "profiler/eviction_error.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <map>

#include "kernels/ops.h"
#include "model/observer.h"
#include "profiler/answer_trajectory.h"
#include "profiler/output_error.h"
#include "profiler/ranked_keys.h"
#include "runtime/compressor.h"
#include "runtime/full_kv_cache.h"
#include "runtime/policies/window_rule.h"

namespace headscope::profiler {
namespace {

// Queries and attention outputs of the decode steps, per layer.
class StepRecorder final : public model::Observer {
 public:
  explicit StepRecorder(int64_t num_layers)
      : q_(static_cast<size_t>(num_layers)), z_(static_cast<size_t>(num_layers)) {}

  void on_layer(const model::LayerView& view) override {
    q_[static_cast<size_t>(view.layer)].push_back(view.q[0].clone());
    z_[static_cast<size_t>(view.layer)].push_back(view.z[0].clone());
  }

  // [Hq, num_steps, d]
  [[nodiscard]] at::Tensor q(int64_t layer) const {
    return at::cat(q_[static_cast<size_t>(layer)], /*dim=*/1);
  }
  [[nodiscard]] at::Tensor z(int64_t layer) const {
    return at::cat(z_[static_cast<size_t>(layer)], /*dim=*/1);
  }

 private:
  std::vector<std::vector<at::Tensor>> q_;
  std::vector<std::vector<at::Tensor>> z_;
};

// One layer after the answer was decoded. Only what the first decode step can see counts.
struct LayerTrace {
  at::Tensor q;  // [Hq, R, d], the decode steps
  at::Tensor z;  // [Hq, R, d], their attention outputs with the full cache
  at::Tensor k;  // [Hkv, S + R, d]
  at::Tensor v;  // [Hkv, S + R, d]
  runtime::FullKvCache::Window window;
  int64_t num_prompt_keys = 0;  // S
  bool is_cut = false;          // a sliding window hides part of the prompt
};

LayerTrace trace_layer(const runtime::FullKvCache& cache,
                       const StepRecorder& steps,
                       int64_t layer,
                       int64_t prompt_tokens) {
  LayerTrace trace{.q = steps.q(layer),
                   .z = steps.z(layer),
                   .k = cache.keys(layer)[0],
                   .v = cache.values(layer)[0],
                   .window = cache.window(layer),
                   .num_prompt_keys = prompt_tokens,
                   .is_cut = false};
  const int64_t num_steps = trace.q.size(1);
  const int64_t seen = trace.window.attention_window;
  if (seen > 0 && seen < prompt_tokens + num_steps) {
    trace.is_cut = true;
    trace.num_prompt_keys = std::min(prompt_tokens, seen - 1);
    const int64_t first = prompt_tokens - trace.num_prompt_keys;
    trace.k = trace.k.narrow(/*dim=*/1, first, trace.num_prompt_keys + num_steps);
    trace.v = trace.v.narrow(/*dim=*/1, first, trace.num_prompt_keys + num_steps);
  }
  return trace;
}

// Window attention of the judges, averaged for each ranking: [rankings, S - rows].
at::Tensor ranking_scores(const LayerTrace& trace,
                          int64_t rows,
                          const std::vector<std::vector<int64_t>>& judges,
                          const SelectionOptions& selection) {
  runtime::LayerEvidence evidence;
  evidence.window_q = trace.window.q;
  evidence.window_lse = trace.is_cut ? at::Tensor() : trace.window.lse;
  evidence.k = trace.k.narrow(/*dim=*/1, 0, trace.num_prompt_keys).unsqueeze(0);
  evidence.scale = trace.window.scale;
  evidence.selection = selection;
  std::vector<at::Tensor> scores;
  for (const std::vector<int64_t>& heads : judges) {
    scores.push_back(runtime::window_scores(evidence, rows, heads).mean(/*dim=*/1));
  }
  at::Tensor ranked = at::cat(scores);
  const int64_t num_sinks = std::min(selection.num_sink_tokens, ranked.size(1));
  ranked.narrow(/*dim=*/1, 0, num_sinks).fill_(std::numeric_limits<float>::infinity());
  return ranked;
}

// Budgets whose window has the same number of rows: one ranking and one pass serve them all.
std::map<int64_t, std::vector<size_t>> budgets_by_rows(const std::vector<int64_t>& budgets,
                                                       int64_t num_keys,
                                                       const SelectionOptions& selection) {
  std::map<int64_t, std::vector<size_t>> groups;
  for (size_t i = 0; i < budgets.size(); ++i) {
    const std::vector<int64_t> budget{budgets[i]};
    const int64_t rows = runtime::judging_rows(budget, num_keys, selection);
    if (rows > 0) groups[rows].push_back(i);  // 0: nothing is evicted
  }
  return groups;
}

// [num_budgets, 1 + Hkv, R]; zeros where nothing is evicted.
at::Tensor layer_errors(const LayerTrace& trace,
                        const at::Tensor& w_o,
                        const std::vector<std::vector<int64_t>>& judges,
                        const EvictionErrorOptions& options) {
  const int64_t num_kv_heads = trace.k.size(0);
  at::Tensor errors =
      at::zeros({static_cast<int64_t>(options.budgets.size()), 1 + num_kv_heads, trace.q.size(1)});
  // In half precision, and where a window was cut, the forward pass's own output differs from an
  // exact one by more than rounding; then every key is one more cut.
  const bool needs_reference = trace.is_cut || trace.z.scalar_type() != at::kFloat;
  for (const auto& [rows, group] :
       budgets_by_rows(options.budgets, trace.num_prompt_keys, options.selection)) {
    const int64_t tail_begin = trace.num_prompt_keys - rows;
    std::vector<int64_t> cuts;
    for (const size_t i : group) cuts.push_back(options.budgets[i] - rows);
    if (needs_reference) cuts.push_back(tail_begin);
    const at::Tensor order = best_keys(ranking_scores(trace, rows, judges, options.selection),
                                       cuts.back(), num_kv_heads);
    const at::Tensor z = kernels::error_curve(trace.q, trace.k, trace.v, trace.window.scale,
                                              trace.num_prompt_keys, order, cuts, tail_begin);
    const at::Tensor z_full = needs_reference ? z[-1] : trace.z;
    const at::Tensor of_group =
        relative_output_errors(z.narrow(/*dim=*/0, 0, static_cast<int64_t>(group.size())), z_full,
                               w_o, num_kv_heads)
            .to(at::kCPU);
    for (size_t i = 0; i < group.size(); ++i) {
      errors[static_cast<int64_t>(group[i])].copy_(of_group[static_cast<int64_t>(i)]);
    }
  }
  return errors;
}

std::vector<float> flat(const at::Tensor& values) {
  const at::Tensor plain = values.contiguous();
  const float* begin = plain.const_data_ptr<float>();
  return {begin, begin + plain.numel()};
}

// KL divergence of the answer with one layer at a time cut to each of kl_budgets.
void measure_layer_kl(AnswerTrajectory& answer,
                      const ModelIdentity& model,
                      const EvictionErrorOptions& options,
                      const KeySelector& selector,
                      ErrorCurves& curves) {
  constexpr int64_t kEverything = int64_t{1} << 31;  // tokens, above any prompt
  BudgetPlan plan =
      runtime::uniform_plan(selector.runtime_method, model.shape, kEverything, options.selection);
  plan.model = model;
  plan.selector_heads = selector.plan_heads();
  curves.kl_budgets = options.kl_budgets;
  for (std::vector<int64_t>& layer : plan.budget_tokens) {
    for (const int64_t budget : options.kl_budgets) {
      std::fill(layer.begin(), layer.end(), budget);
      curves.prompt_kl.push_back(static_cast<float>(answer.divergence(*answer.compressed(plan))));
    }
    std::fill(layer.begin(), layer.end(), kEverything);
  }
}

// One selector's errors of all layers, [L, num_budgets, 1 + Hkv, R], as curves of one prompt.
ErrorCurves curves_of(const at::Tensor& errors,
                      const std::vector<int64_t>& budgets,
                      const std::string& task) {
  ErrorCurves curves;
  curves.budgets = budgets;
  curves.tasks = {task};
  const at::Tensor of_layer = errors.select(/*dim=*/2, 0);
  curves.samples = flat(of_layer.mean(/*dim=*/2));
  curves.samples_summed = flat(of_layer.sum(/*dim=*/2));
  curves.layer = curves.samples;
  curves.prompt_task = {0};
  curves.prompt_layer = curves.samples;
  const at::Tensor of_head = errors.narrow(/*dim=*/2, 1, errors.size(2) - 1);
  curves.kv_head = flat(of_head.mean(/*dim=*/3).transpose(1, 2));
  curves.kv_head_squared = flat(of_head.square().mean(/*dim=*/3).transpose(1, 2));
  return curves;
}

}  // namespace

std::vector<ErrorCurves> measure_eviction_error(const MeasuredModel& model,
                                                const TaskSample& sample,
                                                const EvictionErrorOptions& options) {
  const ModelShape& shape = model.identity.shape;
  StepRecorder steps(shape.num_layers);
  AnswerTrajectory answer(model, sample,
                          {.max_answer_tokens = options.max_answer_tokens,
                           .window_tokens = options.selection.observation_window,
                           .chunk_tokens = options.chunk_tokens},
                          &steps);

  std::vector<std::vector<at::Tensor>> errors(options.selectors.size());  // by selector, layer
  for (int64_t layer = 0; layer < shape.num_layers; ++layer) {
    const LayerTrace trace =
        trace_layer(answer.cache(), steps, layer, static_cast<int64_t>(sample.prompt.size()));
    const at::Tensor w_o = model.decoder.output_projection(layer).to(at::kFloat);
    for (size_t s = 0; s < errors.size(); ++s) {
      errors[s].push_back(layer_errors(
          trace, w_o, options.selectors[s].judges[static_cast<size_t>(layer)], options));
    }
  }
  std::vector<ErrorCurves> curves;
  for (size_t s = 0; s < errors.size(); ++s) {
    curves.push_back(curves_of(at::stack(errors[s]), options.budgets, sample.task));
    if (!options.kl_budgets.empty() && !options.selectors[s].runtime_method.empty()) {
      measure_layer_kl(answer, model.identity, options, options.selectors[s], curves.back());
    }
  }
  return curves;
}

}  // namespace headscope::profiler
