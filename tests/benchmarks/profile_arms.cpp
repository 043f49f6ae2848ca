#include "tests/benchmarks/profile_arms.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

#include "profiler/probe_answer.h"
#include "runtime/full_kv_cache.h"
#include "tests/benchmarks/python_run.h"

namespace headscope::benchmarks {
namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;
using profiler::Probe;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The attention weights of the last row, materialised for every layer as eager attention has them.
class WeightsOfAllLayers final : public model::Observer {
 public:
  explicit WeightsOfAllLayers(const runtime::FullKvCache& cache) : cache_(cache) {}

  void on_layer(const model::LayerView& view) override {
    if (view.layer == 0) weights_.clear();
    const at::Tensor q = view.q[0];  // [Hq, 1, d]
    const at::Tensor keys = cache_.keys(view.layer)[0];
    const at::Tensor repeated = keys.repeat_interleave(q.size(0) / keys.size(0), /*dim=*/0);
    weights_.push_back(
        (at::matmul(q, repeated.transpose(1, 2)) * view.scale).to(at::kFloat).softmax(-1));
  }

  // Each head's mass on the spans, [L * Hq].
  [[nodiscard]] at::Tensor mass(const std::vector<TokenSpan>& spans) const {
    std::vector<at::Tensor> layers;
    for (const at::Tensor& weights : weights_) {
      at::Tensor sum = at::zeros({weights.size(0)});
      for (const TokenSpan& span : spans) {
        sum += weights.select(1, 0).narrow(1, span.begin, span.size()).sum(1);
      }
      layers.push_back(sum);
    }
    return at::cat(layers).to(at::kDouble);
  }

 private:
  const runtime::FullKvCache& cache_;
  std::vector<at::Tensor> weights_;  // [Hq, 1, S]
};

std::set<int64_t> tokens_of(const Probe& probe, const std::vector<TokenSpan>& spans) {
  std::set<int64_t> tokens;
  for (const TokenSpan& span : spans) {
    tokens.insert(probe.prompt.begin() + span.begin, probe.prompt.begin() + span.end);
  }
  return tokens;
}

// One probe by the peers' schedule; adds its sample and answer.
void run_peer_probe(const profiler::MeasuredModel& model, const Probe& probe, ArmResult& arm) {
  const auto size = std::ssize(probe.prompt);
  runtime::FullKvCache cache(model.identity.shape.num_layers, {.reserve_tokens = size + 64});
  static_cast<void>(
      model.decoder.prefill({probe.prompt.data(), static_cast<size_t>(size - 1)}, cache,
                            {.chunk_tokens = size, .logits = model::LogitRows::kAll}));
  const std::set<int64_t> in_span = tokens_of(probe, probe.needle_spans);
  profiler::AnswerEnd end(
      model, {.max_tokens = profiler::answer_limit(probe, {}, model.decoder.config())});
  WeightsOfAllLayers weights(cache);
  at::Tensor total;
  int64_t count = 0;
  int64_t token = probe.prompt.back();
  do {
    token = profiler::greedy_choice(
        model.decoder.forward(at::full({1, 1}, token, at::kLong), cache, {.observer = &weights}));
    if (!end.take(token)) break;
    if (in_span.count(token) == 0) continue;
    const at::Tensor mass = weights.mass(probe.needle_spans);
    total = total.defined() ? total + mass : mass;
    ++count;
  } while (!end.is_full() && end.ids() != probe.gold);
  arm.answers.push_back(end.ids());
  arm.srh.emplace_back();
  if (count == 0) return;
  total = total / static_cast<double>(count);
  arm.srh.back().assign(total.const_data_ptr<double>(),
                        total.const_data_ptr<double>() + total.numel());
}

}  // namespace

ArmResult run_profiler(const profiler::MeasuredModel& model,
                       const std::vector<Probe>& probes,
                       const profiler::ProfileOptions& options) {
  profiler::SilentProgress silent;
  const Clock::time_point started = Clock::now();
  const HeadProfile profile = profiler::profile_heads(model, probes, options, {}, silent).profile;
  ArmResult arm{seconds_since(started), {}, {}};
  const std::vector<float>& samples = profile.scores.at("srh").samples;
  const auto heads = samples.size() / profile.probes.size();
  for (size_t i = 0; i < profile.probes.size(); ++i) {
    const auto row = samples.begin() + static_cast<std::ptrdiff_t>(i * heads);
    arm.srh.emplace_back(row, row + static_cast<std::ptrdiff_t>(heads));
  }
  return arm;
}

ArmResult run_peer_schedule(const profiler::MeasuredModel& model,
                            const std::vector<Probe>& probes) {
  ArmResult arm;
  const Clock::time_point started = Clock::now();
  for (const Probe& probe : probes) run_peer_probe(model, probe, arm);
  arm.seconds = seconds_since(started);
  return arm;
}

ArmResult run_transformers(const std::string& python,
                           const std::string& model_path,
                           const std::vector<Probe>& probes,
                           const std::vector<std::vector<int64_t>>& answers) {
  Json job{{"model", model_path}, {"threads", at::get_num_threads()}, {"probes", Json::array()}};
  for (size_t i = 0; i < probes.size(); ++i) {
    Json spans = Json::array();
    for (const TokenSpan& span : probes[i].needle_spans) spans.push_back({span.begin, span.end});
    job["probes"].push_back(
        {{"prompt", probes[i].prompt}, {"spans", spans}, {"steps", answers[i].size()}});
  }
  const Json result = run_python(python, "transformers_schedule.py", job);
  ArmResult arm{result.at("seconds"), {}, result.at("answers")};
  for (const Json& probe : result.at("srh")) {
    arm.srh.emplace_back();
    if (!probe.is_null()) arm.srh.back() = probe.get<std::vector<double>>();
  }
  return arm;
}

std::vector<double> mean_srh(const ArmResult& arm) {
  std::vector<double> sum, count;
  for (const std::vector<double>& sample : arm.srh) {
    sum.resize(std::max(sum.size(), sample.size()));
    count.resize(sum.size());
    for (size_t head = 0; head < sample.size(); ++head) {
      if (std::isnan(sample[head])) continue;
      sum[head] += sample[head];
      count[head] += 1.0;
    }
  }
  for (size_t head = 0; head < sum.size(); ++head) {
    sum[head] = count[head] > 0.0 ? sum[head] / count[head] : kNaN;
  }
  return sum;
}

}  // namespace headscope::benchmarks
