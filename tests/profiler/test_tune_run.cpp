#include <catch2/catch.hpp>
#include <set>

#include "outputs/input_error.h"
#include "profiler/tasks/task_registry.h"
#include "profiler/tune_run.h"
#include "tests/profiler/planted_setup.h"

namespace headscope::testing {
namespace {

using profiler::TaskSample;
using profiler::TuneOptions;
using profiler::TuneOutcome;
using profiler::TuneTrial;

constexpr int64_t kContext = 256;

std::vector<TaskSample> needle_samples(const PlantedSetup& planted, int64_t count = 4) {
  return profiler::build_task_samples(
      {.task = "needle", .count = count, .context_length = kContext, .seed = 9}, planted.writer());
}

// Scores that know where the planted head is ("good"), and scores that name another ("bad").
HeadProfile profile_of(const PlantedSetup& planted) {
  HeadProfile profile;
  profile.model = planted.identity;
  const ModelShape& shape = planted.identity.shape;
  ProbeRecord probe;
  probe.success = true;
  profile.probes.push_back(probe);
  for (const auto& [name, best] : {std::pair("good", int64_t{1}), std::pair("bad", int64_t{3})}) {
    ScoreTable table;
    table.mean = HeadMatrix(shape.num_layers, shape.num_query_heads);
    for (int64_t layer = 0; layer < shape.num_layers; ++layer) {
      for (int64_t head = 0; head < shape.num_query_heads; ++head) {
        const float value = head == best ? 0.9F : 0.1F;
        table.mean.at(layer, head) = value;
        table.samples.push_back(value);
      }
    }
    profile.scores[name] = table;
  }
  return profile;
}

TuneOptions small_options() {
  TuneOptions options;
  options.selectors = {"bad:1", "good:1", "all"};
  options.pooling_kernels = {1, 9};
  options.windows = {4, 8};
  options.allocators = {"uniform", "pyramid"};
  return options;
}

TuneOutcome run(const PlantedSetup& planted,
                const std::vector<TaskSample>& samples,
                const TuneOptions& options,
                profiler::ProgressSink& progress,
                profiler::TrialStore* store = nullptr) {
  return profiler::tune(planted.model(), profile_of(planted), samples, {.per_kv_head = 32},
                        kContext, options, {}, progress, store);
}

}  // namespace

TEST_CASE("tuning finds the heads that retrieve, at equal bytes", "[profiler]") {
  const PlantedSetup planted;
  profiler::SilentProgress silent;
  const TuneOutcome outcome = run(planted, needle_samples(planted), small_options(), silent);
  REQUIRE(outcome.complete);
  // Three selectors with two kernels; then the other window; then the other allocator.
  REQUIRE(outcome.trials.size() == 8);
  CHECK(small_options().num_trials() == 8);
  CHECK(outcome.full.accuracy == 1.0);
  std::set<std::string> labels;
  for (const TuneTrial& trial : outcome.trials) {
    labels.insert(trial.label());
    CHECK(trial.accuracy <= outcome.trials[outcome.best].accuracy);
    CHECK(trial.ci_low <= trial.accuracy);
    CHECK(trial.accuracy <= trial.ci_high);
    CHECK(trial.kv_bytes < outcome.full.kv_bytes);
    if (trial.allocator == "uniform") CHECK(trial.kv_bytes == outcome.trials[0].kv_bytes);
  }
  CHECK(labels.size() == 8);
  const TuneTrial& best = outcome.trials[outcome.best];
  CHECK(best.selector != "bad:1");
  double bad = 0.0;
  for (const TuneTrial& trial : outcome.trials) {
    if (trial.selector == "bad:1") bad = std::max(bad, trial.accuracy);
  }
  CHECK(best.accuracy > bad);
}

TEST_CASE("the plan is the best trial's, with every trial told in it", "[profiler]") {
  const PlantedSetup planted;
  profiler::SilentProgress silent;
  TuneOptions options = small_options();
  options.selectors = {"good:1"};
  const TuneOutcome outcome = run(planted, needle_samples(planted, 2), options, silent);
  const TuneTrial& best = outcome.trials[outcome.best];
  CHECK(outcome.plan.method == "compresskv");
  CHECK(outcome.plan.selector_heads == std::vector<std::vector<int64_t>>(4, {1}));
  CHECK(outcome.plan.selection.observation_window == best.window);
  CHECK(outcome.plan.selection.pooling_kernel == best.pooling_kernel);
  CHECK(outcome.plan.allocator == best.allocator);
  int64_t tokens = 0;
  for (const auto& layer : outcome.plan.budget_tokens) {
    for (const int64_t budget : layer) tokens += budget;
  }
  CHECK(tokens == 4 * 2 * 32);
  const auto& told = outcome.plan.provenance.options;
  CHECK(told.count("trial 000") == 1);
  for (size_t i = 0; i < outcome.trials.size(); ++i) {
    const auto entry = told.find("trial 00" + std::to_string(i + 1));
    REQUIRE(entry != told.end());
    CHECK_THAT(entry->second, Catch::Contains(outcome.trials[i].label()));
  }
}

TEST_CASE("an interrupted tuning resumes to the uninterrupted one", "[profiler]") {
  const PlantedSetup planted;
  const std::vector<TaskSample> samples = needle_samples(planted);
  const std::string output = planted.folder / "plan.json";
  StopAfter stop(12);
  profiler::TrialStore first(output, /*resume=*/false);
  CHECK_FALSE(run(planted, samples, small_options(), stop, &first).complete);

  profiler::SilentProgress silent;
  profiler::TrialStore second(output, /*resume=*/true);
  const TuneOutcome resumed = run(planted, samples, small_options(), silent, &second);
  const TuneOutcome straight = run(planted, samples, small_options(), silent);
  CHECK(resumed.num_resumed > 0);
  CHECK(resumed.best == straight.best);
  REQUIRE(resumed.trials.size() == straight.trials.size());
  for (size_t i = 0; i < straight.trials.size(); ++i) {
    CHECK(resumed.trials[i].label() == straight.trials[i].label());
    CHECK(resumed.trials[i].accuracy == straight.trials[i].accuracy);
    CHECK(resumed.trials[i].kv_bytes == straight.trials[i].kv_bytes);
  }
  TuneOptions other = small_options();
  other.windows = {16};
  CHECK_THROWS_WITH(run(planted, samples, other, silent, &second), Catch::Contains("another run"));
}

TEST_CASE("tuning refuses what the profile cannot serve, before it starts", "[profiler]") {
  const PlantedSetup planted;
  const std::vector<TaskSample> samples = needle_samples(planted, 1);
  profiler::SilentProgress silent;
  TuneOptions options = small_options();
  options.selectors = {"srh:4"};
  CHECK_THROWS_WITH(run(planted, samples, options, silent), Catch::Contains("srh"));
  options = small_options();
  options.allocators = {"curve"};
  CHECK_THROWS_AS(run(planted, samples, options, silent), InputError);
  for (const std::string selector : {"", "srh", "srh:", "srh:0", "srh:x", ":4"}) {
    options = small_options();
    options.selectors = {selector};
    CHECK_THROWS_WITH(run(planted, samples, options, silent), Catch::Contains("--selectors"));
  }
  options = small_options();
  options.pooling_kernels = {4};
  CHECK_THROWS_AS(run(planted, samples, options, silent), InputError);
  CHECK_THROWS_AS(run(planted, {}, small_options(), silent), InputError);
}

}  // namespace headscope::testing
