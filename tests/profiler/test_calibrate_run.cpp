#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>

#include "outputs/input_error.h"
#include "profiler/calibrate_run.h"
#include "profiler/eviction_error.h"
#include "profiler/greedy_answer.h"
#include "profiler/profile_run.h"
#include "profiler/tasks/task_registry.h"
#include "runtime/full_kv_cache.h"
#include "tests/profiler/planted_setup.h"

namespace headscope::testing {
namespace {

using profiler::CalibrateOptions;
using profiler::TaskSample;

std::vector<TaskSample> samples(const PlantedSetup& planted,
                                const std::vector<std::string>& tasks,
                                int64_t count = 1) {
  std::vector<TaskSample> all;
  for (const std::string& task : tasks) {
    const auto some = profiler::build_task_samples(
        {.task = task, .count = count, .context_length = 448, .seed = 3}, planted.writer());
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

HeadProfile profile_of(const PlantedSetup& planted) {
  profiler::SilentProgress silent;
  return profiler::profile_heads(planted.model(), planted.probes({200}, {0.3, 0.8}, 1), {}, {},
                                 silent)
      .profile;
}

CalibrateOptions options_of(int64_t heads) {
  CalibrateOptions options;
  options.heads.layer_heads = heads;
  options.max_answer_tokens = 6;
  options.budgets = {8, 64, 128, 400, 4096};
  return options;
}

// Watches q and z of the decode steps, for the oracle below.
class Steps final : public model::Observer {
 public:
  explicit Steps(int64_t layer) : layer_(layer) {}
  void on_layer(const model::LayerView& view) override {
    if (view.layer != layer_) return;
    q.push_back(view.q[0].clone());
    scale = view.scale;
  }
  std::vector<at::Tensor> q;  // [Hq, 1, d] each
  double scale = 0.0;

 private:
  int64_t layer_;
};

// One layer's error at one budget the long way: softmax in double over explicitly masked keys.
double slow_error(const PlantedSetup& planted,
                  const TaskSample& sample,
                  int64_t layer,
                  int64_t budget,
                  const std::vector<std::vector<int64_t>>& judges,
                  int64_t max_steps) {
  const auto model = planted.model();
  const auto n = static_cast<int64_t>(sample.prompt.size());
  const int64_t window = 8;
  runtime::FullKvCache cache(planted.identity.shape.num_layers, {.window_tokens = window});
  const at::Tensor logits = model.decoder.prefill(sample.prompt, cache);
  Steps steps(layer);
  int64_t token = profiler::greedy_choice(logits);
  for (int64_t step = 0; step < max_steps; ++step) {
    token = profiler::greedy_choice(
        model.decoder.forward(at::full({1, 1}, token, at::kLong), cache, {.observer = &steps}));
  }
  const int64_t group = planted.identity.shape.query_group_size();
  const at::Tensor k = cache.keys(layer)[0].to(at::kDouble).repeat_interleave(group, 0);
  const at::Tensor v = cache.values(layer)[0].to(at::kDouble).repeat_interleave(group, 0);

  // CompressKV's ranking: softmax of the window's rows, summed, average-pooled, mean over heads.
  const at::Tensor q_window = cache.window(layer).q[0].to(at::kDouble);  // [Hq, 8, d]
  at::Tensor window_scores = at::matmul(q_window, k.narrow(1, 0, n).transpose(1, 2)) * steps.scale;
  window_scores.narrow(2, n - window, window)
      .masked_fill_(at::ones({window, window}, at::kBool).triu(1), -INFINITY);
  at::Tensor mass = window_scores.softmax(2).narrow(2, 0, n - window).sum(1, /*keepdim=*/true);
  mass = at::avg_pool1d(mass, {5}, {1}, {2}).squeeze(1);  // [Hq, n - window]
  std::vector<at::Tensor> kept_by;                        // one mask per ranking
  for (const std::vector<int64_t>& heads : judges) {
    const at::Tensor ranking = mass.index_select(0, at::tensor(heads)).mean(0);
    const at::Tensor best = std::get<1>(ranking.topk(budget - window));
    at::Tensor kept = at::zeros({n + max_steps}, at::kBool);
    kept.index_fill_(0, best, true);
    kept.narrow(0, n - window, window).fill_(true);
    kept_by.push_back(kept);
  }
  at::Tensor keep = at::stack(kept_by);  // [rankings, ..]
  keep = keep.expand({k.size(0) / group, -1}).repeat_interleave(group, 0).unsqueeze(1).contiguous();

  const at::Tensor w_o = model.decoder.output_projection(layer).to(at::kDouble);
  double sum = 0.0;
  for (int64_t step = 0; step < max_steps; ++step) {
    const int64_t seen = n + step + 1;
    keep.narrow(2, n, step + 1).fill_(true);
    const at::Tensor q = steps.q[static_cast<size_t>(step)].to(at::kDouble);
    const at::Tensor all = at::matmul(q, k.narrow(1, 0, seen).transpose(1, 2)) * steps.scale;
    const at::Tensor some = all.masked_fill(~keep.narrow(2, 0, seen), -INFINITY);
    const auto project = [&](const at::Tensor& logits_of) {
      const at::Tensor z = at::matmul(logits_of.softmax(2), v.narrow(1, 0, seen));
      return at::matmul(w_o, z.reshape({-1}));
    };
    const at::Tensor full = project(all);
    sum += ((project(some) - full).norm() / (full.norm() + 1e-6)).item<double>();
  }
  return sum / static_cast<double>(max_steps);
}

}  // namespace

TEST_CASE("errors fall with the budget and vanish where the prompt fits", "[profiler]") {
  const PlantedSetup planted;
  const HeadProfile profile = profile_of(planted);
  profiler::SilentProgress silent;
  const CalibrateOptions options = options_of(2);
  const auto outcome = profiler::calibrate(
      planted.model(), profile, samples(planted, profiler::task_names()), options, silent);
  REQUIRE(outcome.complete);
  const ErrorCurves& curves = outcome.profile.error_curves.at("srh2");
  CHECK(curves.budgets == std::vector<int64_t>{8, 32, 64, 128, 400, 4096});
  CHECK(curves.tasks == profiler::task_names());
  const size_t num_budgets = curves.budgets.size();
  const size_t num_layers = 4;
  REQUIRE(curves.layer.size() == num_layers * num_budgets);
  REQUIRE(curves.kv_head.size() == num_layers * 2 * num_budgets);
  REQUIRE(curves.samples.size() == curves.tasks.size() * num_layers * num_budgets);
  REQUIRE(curves.samples_summed.size() == curves.samples.size());
  for (size_t layer = 0; layer < num_layers; ++layer) {
    INFO("layer " << layer);
    const float* errors = &curves.layer[layer * num_budgets];
    CHECK(errors[0] > errors[4]);
    CHECK(errors[4] > 0.0F);
    CHECK(errors[num_budgets - 1] == 0.0F);
  }
  // The planted layer copies from afar: at a budget of 8 it loses what it came for.
  CHECK(curves.layer[2 * num_budgets] > 0.3F);
  // Provenance says how the curves came to be.
  CHECK(outcome.profile.provenance.options.count("calibrate.srh2.budgets") == 1);
  CHECK(outcome.profile.probes.size() == profile.probes.size());
}

TEST_CASE("an error is what masking the evicted keys gives, computed the long way", "[profiler]") {
  const PlantedSetup planted;
  const TaskSample sample = samples(planted, {"qa"})[0];
  profiler::EvictionErrorOptions options;
  options.budgets = {32, 100};
  const std::vector<std::vector<int64_t>> shared{{0, 3}, {1, 2}, {1, 0}, {2, 3}};
  options.selectors = {{.name = "shared", .judges = {}, .runtime_method = {}},
                       {.name = "own", .judges = {}, .runtime_method = {}}};
  for (const std::vector<int64_t>& heads : shared) {
    options.selectors[0].judges.push_back({heads});
    options.selectors[1].judges.push_back({{heads[0] % 2}, {2 + heads[1] % 2}});
  }
  options.max_answer_tokens = 4;
  const std::vector<ErrorCurves> measured =
      profiler::measure_eviction_error(planted.model(), sample, options);
  REQUIRE(measured.size() == 2);
  const ErrorCurves& curves = measured[0];
  const auto steps = static_cast<int64_t>(
      std::lround(curves.samples_summed[0] / std::max(curves.samples[0], 1e-20F)));
  REQUIRE(steps >= 1);
  for (int64_t layer = 0; layer < 4; ++layer) {
    for (size_t budget = 0; budget < 2; ++budget) {
      INFO("layer " << layer << ", budget " << options.budgets[budget] << ", steps " << steps);
      for (size_t s = 0; s < 2; ++s) {
        const double slow =
            slow_error(planted, sample, layer, options.budgets[budget],
                       options.selectors[s].judges[static_cast<size_t>(layer)], steps);
        CHECK(measured[s].samples[static_cast<size_t>(layer) * 2 + budget] ==
              Approx(slow).epsilon(2e-3).margin(2e-5));
      }
    }
  }
}

TEST_CASE("each selector's curves are stored under its name, and all come from the same answers",
          "[profiler]") {
  const PlantedSetup planted;
  const HeadProfile profile = profile_of(planted);
  profiler::SilentProgress silent;
  CalibrateOptions options = options_of(2);
  options.selectors = {"srh", "window", "srh-head"};
  options.kl_budgets = {32, 128};
  const std::vector<TaskSample> prompts = samples(planted, {"needle", "qa"});
  const auto outcome = profiler::calibrate(planted.model(), profile, prompts, options, silent);
  const auto& curves = outcome.profile.error_curves;
  CHECK(options.stored_names() == std::vector<std::string>{"srh2", "window", "srh-head1"});
  REQUIRE(curves.size() == 3);
  const CalibrateOptions alone = options_of(2);
  const auto only = profiler::calibrate(planted.model(), profile, prompts, alone, silent);
  CHECK(curves.at("srh2").samples == only.profile.error_curves.at("srh2").samples);
  CHECK(curves.at("window").samples != curves.at("srh2").samples);
  CHECK(curves.at("srh-head1").samples != curves.at("srh2").samples);
  CHECK(curves.at("srh-head1").samples != curves.at("window").samples);

  // Evicting the copying layer hurts the answer; a larger budget hurts it less. No runtime method
  // ranks by heads of each group, so there is nothing to propagate for the third.
  for (const std::string name : {"srh2", "window"}) {
    INFO(name);
    const ErrorCurves& own = curves.at(name);
    CHECK(own.kl_budgets == std::vector<int64_t>{32, 128});
    REQUIRE(own.prompt_kl.size() == 2 * 4 * 2);
    for (const float kl : own.prompt_kl) CHECK(kl >= 0.0F);
    CHECK(*std::max_element(own.prompt_kl.begin(), own.prompt_kl.end()) > 1e-4F);
  }
  CHECK(curves.at("srh-head1").kl_budgets.empty());
}

TEST_CASE("a selector's judges are the best heads of the layer, of each group, or all of a group",
          "[profiler]") {
  const PlantedSetup planted;
  HeadProfile profile;
  profile.model = planted.identity;
  ScoreTable& srh = profile.scores["srh"];
  srh.mean = HeadMatrix(4, 4);
  srh.mean.values = {0.1, 0.4, 0.2, 0.3, 0.9, 0.8, 0.7, 0.1,
                     0.0, 0.1, 0.1, 0.5, 0.4, 0.3, 0.2, 0.1};
  using Judges = std::vector<std::vector<int64_t>>;
  const auto judges = [&](const std::string& wanted) {
    return profiler::make_key_selector(wanted, profile, {.layer_heads = 2, .group_heads = 1});
  };
  CHECK(judges("srh").judges[0] == Judges{{1, 3}});
  CHECK(judges("srh").judges[1] == Judges{{0, 1}});
  CHECK(judges("srh").name == "srh2");
  CHECK(judges("srh").runtime_method == "compresskv");
  CHECK(judges("srh").plan_heads()[2] == std::vector<int64_t>{3, 1});
  CHECK(judges("window").judges[3] == Judges{{0, 1}, {2, 3}});
  CHECK(judges("window").runtime_method == "snapkv");
  CHECK(judges("window").plan_heads().empty());
  CHECK(judges("srh-head").judges[0] == Judges{{1}, {3}});
  CHECK(judges("srh-head").judges[2] == Judges{{1}, {3}});
  CHECK(judges("srh-head").name == "srh-head1");
  CHECK_THROWS_WITH(judges("retrieval-head"), Catch::Contains("the score retrieval"));
}

TEST_CASE("curves are averaged within a task first, then over tasks", "[profiler]") {
  const auto curve = [](const std::string& task, float value) {
    ErrorCurves made;
    made.budgets = {8, 32};
    made.tasks = {task};
    made.samples = {value, value / 2};  // one layer
    made.samples_summed = {3 * value, value};
    made.layer = made.samples;
    made.kv_head = {value, 0.0F, value / 4, 0.0F};  // two KV heads
    return made;
  };
  const ErrorCurves all =
      profiler::combine_curves({curve("a", 1.0F), curve("b", 4.0F), curve("a", 3.0F)});
  CHECK(all.tasks == std::vector<std::string>{"a", "b"});
  CHECK(all.samples == std::vector<float>{2.0F, 1.0F, 4.0F, 2.0F});
  CHECK(all.samples_summed == std::vector<float>{6.0F, 2.0F, 12.0F, 4.0F});
  CHECK(all.layer == std::vector<float>{3.0F, 1.5F});
  CHECK(all.kv_head == std::vector<float>{3.0F, 0.0F, 0.75F, 0.0F});
  CHECK(all.task_weights == std::vector<double>{0.5, 0.5});
  CHECK(all.prompt_task == std::vector<int64_t>{0, 1, 0});
  CHECK(all.prompt_layer == std::vector<float>{1.0F, 0.5F, 4.0F, 2.0F, 3.0F, 1.5F});

  const ErrorCurves mixed =
      profiler::combine_curves({curve("a", 1.0F), curve("b", 4.0F)}, {{"a", 3.0}, {"b", 1.0}});
  CHECK(mixed.task_weights == std::vector<double>{0.75, 0.25});
  CHECK(mixed.layer == std::vector<float>{1.75F, 0.875F});
  CHECK(mixed.kv_head == std::vector<float>{1.75F, 0.0F, 0.4375F, 0.0F});
  CHECK(mixed.samples == std::vector<float>{1.0F, 0.5F, 4.0F, 2.0F});
  CHECK_THROWS_AS(profiler::combine_curves({curve("a", 1.0F)}, {{"b", 1.0}}),
                  std::invalid_argument);
}

TEST_CASE("an interrupted calibration resumes to the uninterrupted one", "[profiler]") {
  const PlantedSetup planted;
  const HeadProfile profile = profile_of(planted);
  const std::vector<TaskSample> all = samples(planted, {"needle", "qa", "code"});
  const CalibrateOptions options = options_of(1);
  const std::string output = planted.folder / "p.h5";

  StopAfter stop(2);
  profiler::TrialStore first(output, /*resume=*/false);
  const auto partial = profiler::calibrate(planted.model(), profile, all, options, stop, &first);
  CHECK_FALSE(partial.complete);
  CHECK(partial.profile.error_curves.empty());

  profiler::SilentProgress silent;
  profiler::TrialStore second(output, /*resume=*/true);
  const auto resumed = profiler::calibrate(planted.model(), profile, all, options, silent, &second);
  const auto straight = profiler::calibrate(planted.model(), profile, all, options, silent);
  CHECK(resumed.complete);
  CHECK(resumed.num_resumed == 2);
  CHECK(resumed.profile.error_curves.at("srh1").samples ==
        straight.profile.error_curves.at("srh1").samples);
  CHECK(resumed.profile.error_curves.at("srh1").kv_head ==
        straight.profile.error_curves.at("srh1").kv_head);
  CHECK(resumed.profile.provenance.options == straight.profile.provenance.options);

  CalibrateOptions other = options;
  other.max_answer_tokens = 7;
  CHECK_THROWS_WITH(profiler::calibrate(planted.model(), profile, all, other, silent, &second),
                    Catch::Contains("another run"));
}

TEST_CASE("calibrate refuses what it cannot use", "[profiler]") {
  const PlantedSetup planted;
  const HeadProfile profile = profile_of(planted);
  const std::vector<TaskSample> all = samples(planted, {"needle"});
  profiler::SilentProgress silent;
  const auto run = [&](const HeadProfile& of, const CalibrateOptions& options) {
    return profiler::calibrate(planted.model(), of, all, options, silent);
  };
  CalibrateOptions options = options_of(1);
  options.selectors = {"echo"};
  CHECK_THROWS_WITH(run(profile, options), Catch::Contains("echo") && Catch::Contains("srh"));
  CHECK_THROWS_WITH(run(profile, options_of(5)), Catch::Contains("selector heads"));
  options = options_of(1);
  options.budgets = {1};
  CHECK_THROWS_WITH(run(profile, options), Catch::Contains("budgets"));
  options = options_of(1);
  options.selection.pooling_kernel = 4;
  CHECK_THROWS_WITH(run(profile, options), Catch::Contains("odd"));
  options = options_of(1);
  options.selectors = {"srh", "srh"};
  CHECK_THROWS_WITH(run(profile, options), Catch::Contains("selectors"));
  options = options_of(1);
  options.heads.group_heads = 3;  // groups have two
  CHECK_THROWS_WITH(run(profile, options), Catch::Contains("group"));
  options = options_of(1);
  options.mix = {{"qa", 1.0}};
  CHECK_THROWS_WITH(run(profile, options), Catch::Contains("none for needle"));
  options.mix = {{"needle", 0.0}};
  CHECK_THROWS_WITH(run(profile, options), Catch::Contains("weight above 0"));
  HeadProfile other = profile;
  other.model.fingerprint = "another";
  CHECK_THROWS_AS(run(other, options_of(1)), ModelMismatch);
  HeadProfile blind = profile;
  for (double& value : blind.scores.at("srh").mean.values) value = std::nan("");
  CHECK_THROWS_WITH(run(blind, options_of(1)), Catch::Contains("successful probes"));
}

}  // namespace headscope::testing
