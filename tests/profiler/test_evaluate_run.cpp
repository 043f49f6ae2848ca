#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "outputs/input_error.h"
#include "profiler/evaluate_run.h"
#include "profiler/evaluation_summary.h"
#include "profiler/method_plan.h"
#include "profiler/tasks/task_registry.h"
#include "runtime/compressor.h"
#include "runtime/memory_use.h"
#include "tests/profiler/planted_setup.h"

namespace headscope::testing {
namespace {

using profiler::EvaluateOptions;
using profiler::EvaluateOutcome;
using profiler::TaskSample;

std::vector<TaskSample> needle_samples(const PlantedSetup& planted, int64_t count = 4) {
  return profiler::build_task_samples(
      {.task = "needle", .count = count, .context_length = 256, .seed = 5}, planted.writer());
}

// Uniform budgets; compresskv gets the planted head where it is, any head elsewhere.
profiler::PlanMaker plans_for(const PlantedSetup& planted) {
  return [&planted](const std::string& method, int64_t budget, int64_t) {
    BudgetPlan plan = runtime::uniform_plan(method, planted.identity.shape, budget);
    plan.model = planted.identity;
    if (method == "compresskv") plan.selector_heads.assign(4, {1});
    return plan;
  };
}

EvaluateOutcome run(const PlantedSetup& planted,
                    const std::vector<TaskSample>& samples,
                    const EvaluateOptions& options) {
  profiler::SilentProgress silent;
  return profiler::evaluate(planted.model(), samples, plans_for(planted), options, {}, silent);
}

const EvaluationRow& row_of(const Evaluation& evaluation,
                            const std::string& method,
                            double retention) {
  for (const EvaluationRow& row : evaluation.rows) {
    if (row.method == method && row.retention == retention) return row;
  }
  throw std::runtime_error("no row " + method);
}

}  // namespace

TEST_CASE("at retention 1 every method answers as the full cache does", "[profiler]") {
  const PlantedSetup planted;
  EvaluateOptions options;
  options.methods = {"full", "compresskv", "snapkv", "streaming"};
  options.retentions = {1.0};
  const EvaluateOutcome outcome = run(planted, needle_samples(planted), options);
  REQUIRE(outcome.complete);
  const Evaluation& evaluation = outcome.evaluation;
  REQUIRE(evaluation.rows.size() == 5);  // random tokens beside them
  REQUIRE(evaluation.samples.size() == 20);
  for (size_t i = 0; i < evaluation.samples.size(); i += 5) {
    CHECK(evaluation.samples[i].method == "full");
    for (size_t j = 1; j < 5; ++j) {
      CHECK(evaluation.samples[i + j].response == evaluation.samples[i].response);
      CHECK(evaluation.samples[i + j].score == evaluation.samples[i].score);
    }
  }
  CHECK(row_of(evaluation, "full", 1.0).accuracy == 1.0);
  CHECK(row_of(evaluation, "snapkv", 1.0).retention_of_full == 1.0);
}

TEST_CASE("compression saves bytes, equally for every method at one retention", "[profiler]") {
  const PlantedSetup planted;
  EvaluateOptions options;
  options.retentions = {0.5, 0.25};
  const std::vector<TaskSample> samples = needle_samples(planted, 8);
  const Evaluation evaluation = run(planted, samples, options).evaluation;
  const int64_t full = row_of(evaluation, "full", 1.0).kv_bytes;
  for (const double retention : options.retentions) {
    const int64_t bytes = row_of(evaluation, "compresskv", retention).kv_bytes;
    CHECK(bytes < full);
    CHECK(row_of(evaluation, "snapkv", retention).kv_bytes == bytes);
    CHECK(row_of(evaluation, "streaming", retention).kv_bytes == bytes);
    CHECK(row_of(evaluation, "random", retention).kv_bytes == bytes);
  }
  CHECK(row_of(evaluation, "snapkv", 0.25).kv_bytes < row_of(evaluation, "snapkv", 0.5).kv_bytes);
  // The planted head's own window finds the needle; the last tokens alone do not hold it.
  CHECK(row_of(evaluation, "compresskv", 0.5).accuracy >
        row_of(evaluation, "streaming", 0.25).accuracy);
}

TEST_CASE("a sample's answer does not depend on the settings beside it", "[profiler]") {
  const PlantedSetup planted;
  const std::vector<TaskSample> samples = needle_samples(planted, 2);
  EvaluateOptions all;
  all.retentions = {0.5, 0.2};
  EvaluateOptions alone;
  alone.methods = {"streaming"};
  alone.retentions = {0.2};
  const Evaluation together = run(planted, samples, all).evaluation;
  const Evaluation single = run(planted, samples, alone).evaluation;
  for (const EvaluationSample& sample : single.samples) {
    bool found = false;
    for (const EvaluationSample& other : together.samples) {
      if (other.method != sample.method || other.retention != sample.retention ||
          other.sample != sample.sample) {
        continue;
      }
      found = true;
      CHECK(other.response == sample.response);
      CHECK(other.kv_bytes == sample.kv_bytes);
    }
    CHECK(found);
  }
}

TEST_CASE("budgets in tokens are entered by their share of the context", "[profiler]") {
  const PlantedSetup planted;
  EvaluateOptions options;
  options.methods = {"snapkv", "streaming"};
  options.retentions = {};
  options.budgets = {4, 64, 1000};
  const Evaluation evaluation = run(planted, needle_samples(planted, 2), options).evaluation;
  REQUIRE(evaluation.rows.size() == 10);
  const EvaluationRow& small = row_of(evaluation, "snapkv", 4.0 / 256.0);
  CHECK(small.budget_tokens == 4);
  CHECK(small.below_floor);  // less than the window of 8
  CHECK_FALSE(row_of(evaluation, "snapkv", 0.25).below_floor);
  CHECK(row_of(evaluation, "snapkv", 0.25).budget_tokens == 64);
  CHECK(row_of(evaluation, "snapkv", 1.0).kv_bytes >= row_of(evaluation, "snapkv", 0.25).kv_bytes);
}

TEST_CASE("an interrupted evaluation resumes to the uninterrupted one", "[profiler]") {
  const PlantedSetup planted;
  const std::vector<TaskSample> samples = needle_samples(planted);
  EvaluateOptions options;
  options.methods = {"snapkv"};
  options.retentions = {0.5};
  const std::string output = planted.folder / GENERATE("e.h5", "e.json");
  StopAfter stop(2);
  profiler::TrialStore first(output, /*resume=*/false);
  const EvaluateOutcome partial =
      profiler::evaluate(planted.model(), samples, plans_for(planted), options, {}, stop, &first);
  CHECK_FALSE(partial.complete);
  CHECK(partial.evaluation.samples.size() == 6);

  profiler::SilentProgress silent;
  profiler::TrialStore second(output, /*resume=*/true);
  const EvaluateOutcome resumed = profiler::evaluate(planted.model(), samples, plans_for(planted),
                                                     options, {}, silent, &second);
  const Evaluation straight = run(planted, samples, options).evaluation;
  CHECK(resumed.complete);
  CHECK(resumed.num_resumed == 2);
  REQUIRE(resumed.evaluation.samples.size() == straight.samples.size());
  for (size_t i = 0; i < straight.samples.size(); ++i) {
    CHECK(resumed.evaluation.samples[i].response == straight.samples[i].response);
    CHECK(resumed.evaluation.samples[i].kv_bytes == straight.samples[i].kv_bytes);
  }
  CHECK(resumed.evaluation.rows.at(1).ci_low == straight.rows.at(1).ci_low);

  options.retentions = {0.25};
  CHECK_THROWS_WITH(profiler::evaluate(planted.model(), samples, plans_for(planted), options, {},
                                       silent, &second),
                    Catch::Contains("another run"));
}

TEST_CASE("rows summarise samples as worked by hand", "[profiler]") {
  const auto sample = [](const std::string& method, int64_t index, double score, int64_t bytes) {
    EvaluationSample made;
    made.task = "t";
    made.method = method;
    made.context_length = 100;
    made.retention = method == "full" ? 1.0 : 0.3;
    made.sample = index;
    made.score = score;
    made.kv_bytes = bytes;
    made.budget_tokens = method == "full" ? 100 : 30 + 2 * index;
    if (index == 0) made.cost = {2.0, 100.0, std::nan("")};
    if (index == 1) made.cost = {4.0, 300.0, std::nan("")};
    made.metric = "f1";
    return made;
  };
  // snapkv saw samples 0 and 1 only: it is compared with full on those.
  const std::vector<EvaluationSample> samples{
      sample("full", 0, 1.0, 1000), sample("snapkv", 0, 0.5, 300), sample("full", 1, 0.5, 1000),
      sample("snapkv", 1, 0.25, 400), sample("full", 2, 0.0, 1000)};
  const auto rows = profiler::summarise(samples, {.num_resamples = 500, .seed = 1});
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].method == "full");
  CHECK(rows[0].num_samples == 3);
  CHECK(rows[0].accuracy == Approx(0.5));
  CHECK(rows[0].retention_of_full == Approx(1.0));
  CHECK(rows[1].accuracy == Approx(0.375));
  CHECK(rows[1].retention_of_full == Approx(0.5));
  CHECK(rows[1].kv_bytes == 350);
  CHECK(rows[1].budget_tokens == 31);  // of 30 and 32
  CHECK(rows[1].metric == "f1");
  CHECK(rows[0].cost.first_token_seconds == 3.0);  // of 2 and 4; sample 2 was not timed
  CHECK(rows[0].cost.prefill_peak_bytes == 200.0);
  CHECK(std::isnan(rows[0].cost.decode_tokens_per_second));
  CHECK(rows[1].ci_low >= 0.25);
  CHECK(rows[1].ci_high <= 0.5);
  CHECK(rows[1].ci_low <= rows[1].accuracy);
  // Nothing right with the full cache: no ratio.
  CHECK(std::isnan(profiler::summarise({sample("full", 0, 0.0, 1)}, {})[0].retention_of_full));
}

TEST_CASE("random tokens are drawn anew for every sample and the same in every run", "[profiler]") {
  const PlantedSetup planted;
  const std::vector<TaskSample> samples = needle_samples(planted, 3);
  EvaluateOptions options;
  options.methods = {};
  options.retentions = {0.2};
  const Evaluation first = run(planted, samples, options).evaluation;
  const Evaluation again = run(planted, samples, options).evaluation;
  REQUIRE(first.samples.size() == 6);
  for (size_t i = 0; i < first.samples.size(); ++i) {
    CHECK(first.samples[i].response == again.samples[i].response);
  }
  options.seed = 1;
  const Evaluation other = run(planted, samples, options).evaluation;
  options.methods = {"streaming"};
  const Evaluation beside = run(planted, samples, options).evaluation;
  const auto responses = [](const Evaluation& evaluation, const std::string& method) {
    std::vector<std::string> all;
    for (const EvaluationSample& sample : evaluation.samples) {
      if (sample.method == method) all.push_back(sample.response);
    }
    return all;
  };
  CHECK(responses(other, "random") != responses(first, "random"));
  CHECK(responses(other, "random") != responses(beside, "streaming"));
  // Whatever else is run.
  CHECK(responses(other, "random") == responses(beside, "random"));
}

TEST_CASE("every row but the control says what it costs, once per timed sample", "[profiler]") {
  const PlantedSetup planted;
  const std::vector<TaskSample> samples = needle_samples(planted, 2);
  EvaluateOptions options;
  options.retentions = {0.5};
  const Evaluation evaluation = run(planted, samples, options).evaluation;
  const int64_t full_bytes =
      runtime::full_kv_bytes(planted.identity.shape, samples.front().context_length * 9 / 10, 4);
  for (const EvaluationRow& row : evaluation.rows) {
    INFO(row.method);
    CHECK(std::isnan(row.cost.first_token_seconds) == (row.method == "random"));
    if (row.method == "random") continue;
    CHECK(row.cost.first_token_seconds > 0.0);
    CHECK(row.cost.decode_tokens_per_second > 0.0);
    // All of the prompt's keys and values stood there before anything was evicted.
    CHECK(row.cost.prefill_peak_bytes > static_cast<double>(full_bytes));
  }
  for (const EvaluationSample& sample : evaluation.samples) {
    if (sample.sample == 1) CHECK(std::isnan(sample.cost.first_token_seconds));
  }
  options.timed_samples = 0;
  for (const EvaluationRow& row : run(planted, samples, options).evaluation.rows) {
    CHECK(std::isnan(row.cost.prefill_peak_bytes));
  }
}

TEST_CASE("compressed without its question, a context is kept as if nobody asked", "[profiler]") {
  const PlantedSetup planted;
  std::vector<TaskSample> samples = needle_samples(planted, 12);
  EvaluateOptions options;
  options.methods = {"compresskv", "streaming"};
  options.retentions = {1.0, 0.05};
  options.timed_samples = 0;
  const Evaluation aware = run(planted, samples, options).evaluation;
  options.question_agnostic = true;
  const Evaluation agnostic = run(planted, samples, options).evaluation;
  for (const EvaluationRow& row : aware.rows) CHECK(row.compression == "question-aware");
  for (const EvaluationRow& row : agnostic.rows) CHECK(row.compression == "question-agnostic");
  // Nothing evicted: the same answers, whichever part was read first.
  CHECK(row_of(agnostic, "full", 1.0).accuracy == row_of(aware, "full", 1.0).accuracy);
  CHECK(row_of(agnostic, "compresskv", 1.0).accuracy == row_of(aware, "full", 1.0).accuracy);
  // The budget is the context's.
  CHECK(row_of(agnostic, "compresskv", 0.05).budget_tokens <
        row_of(aware, "compresskv", 0.05).budget_tokens);
  // Words are one token, and with the question in the prompt the first token has seen all of it.
  CHECK(row_of(aware, "compresskv", 0.05).accuracy >= 0.4);
  CHECK(row_of(agnostic, "compresskv", 0.05).accuracy <= 0.2);

  samples.front().context_tokens = 0;
  CHECK_THROWS_WITH(run(planted, samples, options), Catch::Contains("question follows"));
  options.question_agnostic = false;
  CHECK_NOTHROW(run(planted, samples, options));
}

TEST_CASE("arms are run at every size, by the names that their plans are asked for", "[profiler]") {
  const PlantedSetup planted;
  EvaluateOptions options;
  options.methods = {"snapkv"};
  options.arms = {"srh-1", "all-heads"};
  options.retentions = {0.5, 0.25};
  options.timed_samples = 0;
  std::vector<std::string> asked;
  const auto plans = [&](const std::string& method, int64_t budget, int64_t) {
    asked.push_back(method);
    BudgetPlan plan = runtime::uniform_plan(method == "snapkv" ? method : "compresskv",
                                            planted.identity.shape, budget);
    if (method != "snapkv") plan.selector_heads.assign(4, {1});
    return plan;
  };
  profiler::SilentProgress silent;
  const Evaluation evaluation =
      profiler::evaluate(planted.model(), needle_samples(planted, 1), plans, options, {}, silent)
          .evaluation;
  CHECK(evaluation.rows.size() == 1 + 4 * 2);
  CHECK(std::count(asked.begin(), asked.end(), "srh-1") >= 2);
  CHECK(row_of(evaluation, "all-heads", 0.25).num_samples == 1);
}

TEST_CASE("evaluate refuses what it cannot use", "[profiler]") {
  const PlantedSetup planted;
  const std::vector<TaskSample> samples = needle_samples(planted, 1);
  EvaluateOptions options;
  options.methods = {"magic"};
  CHECK_THROWS_WITH(run(planted, samples, options), Catch::Contains("magic"));
  options = {};
  options.budgets = {64};
  CHECK_THROWS_WITH(run(planted, samples, options), Catch::Contains("both"));
  options.retentions = {1.5};
  options.budgets = {};
  CHECK_THROWS_WITH(run(planted, samples, options), Catch::Contains("retentions"));
  options.retentions = {0.5};
  CHECK_THROWS_AS(run(planted, {}, options), InputError);
}

}  // namespace headscope::testing
