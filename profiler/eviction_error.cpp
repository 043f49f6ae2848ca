#include "profiler/eviction_error.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <map>

#include "kernels/ops.h"
#include "model/observer.h"
#include "profiler/greedy_answer.h"
#include "runtime/full_kv_cache.h"
#include "runtime/policies/window_rule.h"

namespace headscope::profiler {
namespace {

// In the denominator, as the paper has it (its program uses 1e-5).
constexpr double kEpsilon = 1e-6;

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

// Prompt keys from the most to the least worth keeping, [S - rows], by the runtime's own rule.
at::Tensor ranked_keys(const LayerTrace& trace,
                       int64_t rows,
                       std::span<const int64_t> heads,
                       const SelectionOptions& selection) {
  runtime::LayerEvidence evidence;
  evidence.window_q = trace.window.q;
  evidence.window_lse = trace.is_cut ? at::Tensor() : trace.window.lse;
  evidence.k = trace.k.narrow(/*dim=*/1, 0, trace.num_prompt_keys).unsqueeze(0);
  evidence.scale = trace.window.scale;
  evidence.selection = selection;
  at::Tensor scores = runtime::window_scores(evidence, rows, heads).mean(/*dim=*/1)[0];
  const int64_t num_sinks = std::min(selection.num_sink_tokens, scores.size(0));
  scores.narrow(/*dim=*/0, 0, num_sinks).fill_(std::numeric_limits<float>::infinity());
  return scores.argsort(/*stable=*/true, /*dim=*/0, /*descending=*/true);
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

// Relative errors, [num_budgets, 1 + Hkv, R]: the layer's, then each KV head's share of it.
at::Tensor relative_errors(const at::Tensor& z_kept,  // [num_budgets, Hq, R, d] float32
                           const at::Tensor& z_full,  // [Hq, R, d] float32
                           const at::Tensor& w_o,     // [hidden, Hq * d] float32
                           int64_t num_kv_heads) {
  const int64_t num_steps = z_full.size(1);
  const int64_t columns = w_o.size(1) / num_kv_heads;
  const at::Tensor full = at::matmul(z_full.transpose(0, 1).flatten(1), w_o.t());  // [R, hidden]
  const at::Tensor scale = full.norm(2, /*dim=*/1) + kEpsilon;                     // [R]
  const at::Tensor difference =
      (z_kept - z_full.unsqueeze(0)).transpose(1, 2).flatten(2);  // [num_budgets, R, Hq * d]
  at::Tensor total;
  std::vector<at::Tensor> norms(1);
  for (int64_t kv_head = 0; kv_head < num_kv_heads; ++kv_head) {
    // The projection is linear: the layer's error is the sum of its KV heads' shares.
    const at::Tensor share = at::matmul(
        difference.narrow(/*dim=*/2, kv_head * columns, columns),
        w_o.narrow(/*dim=*/1, kv_head * columns, columns).t());  // [num_budgets, R, hidden]
    norms.push_back(share.norm(2, /*dim=*/2));
    total = total.defined() ? total + share : share;
  }
  norms[0] = total.norm(2, /*dim=*/2);
  return at::stack(norms, /*dim=*/1) / scale.view({1, 1, num_steps});
}

// [num_budgets, 1 + Hkv, R]; zeros where nothing is evicted.
at::Tensor layer_errors(const LayerTrace& trace,
                        const at::Tensor& w_o,
                        std::span<const int64_t> heads,
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
    const at::Tensor order = ranked_keys(trace, rows, heads, options.selection)
                                 .narrow(/*dim=*/0, 0, cuts.back())
                                 .unsqueeze(0)
                                 .expand({num_kv_heads, -1})
                                 .contiguous();
    const at::Tensor z = kernels::error_curve(trace.q, trace.k, trace.v, trace.window.scale,
                                              trace.num_prompt_keys, order, cuts, tail_begin);
    const at::Tensor z_full = needs_reference ? z[-1] : trace.z;
    const at::Tensor of_group =
        relative_errors(z.narrow(/*dim=*/0, 0, static_cast<int64_t>(group.size())), z_full, w_o,
                        num_kv_heads)
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

}  // namespace

ErrorCurves measure_eviction_error(const MeasuredModel& model,
                                   const TaskSample& sample,
                                   const EvictionErrorOptions& options) {
  const ModelShape& shape = model.identity.shape;
  const auto prompt_tokens = static_cast<int64_t>(sample.prompt.size());
  runtime::FullKvCache cache(
      shape.num_layers,
      {.reserve_tokens = prompt_tokens + options.max_answer_tokens,
       .window_tokens = std::max<int64_t>(1, options.selection.observation_window)});
  const at::Tensor logits =
      model.decoder.prefill(sample.prompt, cache, {.chunk_tokens = options.chunk_tokens});

  // The first answer token's pass is always run, also where it is an end token.
  StepRecorder steps(shape.num_layers);
  const at::Tensor next = model.decoder.forward(at::full({1, 1}, greedy_choice(logits), at::kLong),
                                                cache, {.observer = &steps});
  if (options.max_answer_tokens > 1) {
    static_cast<void>(decode_greedily(
        model, cache, greedy_choice(next),
        {.max_tokens = options.max_answer_tokens, .stop_at_newline = false}, &steps));
  }

  // [L, num_budgets, 1 + Hkv, R]
  std::vector<at::Tensor> layers;
  for (int64_t layer = 0; layer < shape.num_layers; ++layer) {
    const LayerTrace trace = trace_layer(cache, steps, layer, prompt_tokens);
    layers.push_back(layer_errors(trace, model.decoder.output_projection(layer).to(at::kFloat),
                                  options.selector_heads[static_cast<size_t>(layer)], options));
  }
  const at::Tensor errors = at::stack(layers);
  ErrorCurves curves;
  curves.budgets = options.budgets;
  curves.tasks = {sample.task};
  const at::Tensor of_layer = errors.select(/*dim=*/2, 0);
  curves.samples = flat(of_layer.mean(/*dim=*/2));
  curves.samples_summed = flat(of_layer.sum(/*dim=*/2));
  curves.layer = curves.samples;
  curves.kv_head =
      flat(errors.narrow(/*dim=*/2, 1, shape.num_kv_heads).mean(/*dim=*/3).transpose(1, 2));
  return curves;
}

}  // namespace headscope::profiler
