#include "outputs/evaluation_file.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "outputs/atomic_file.h"
#include "tests/outputs/samples.h"
#include "tests/support/scratch_folder.h"

namespace headscope::outputs {
namespace {

using testing::ScratchFolder;

void check_equal(const AnswerCost& found, const AnswerCost& expected) {
  const auto same = [](double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); };
  CHECK(same(found.first_token_seconds, expected.first_token_seconds));
  CHECK(same(found.prefill_peak_bytes, expected.prefill_peak_bytes));
  CHECK(same(found.decode_tokens_per_second, expected.decode_tokens_per_second));
}

void check_equal(const Evaluation& found, const Evaluation& expected) {
  CHECK(found.model.shape == expected.model.shape);
  CHECK(found.provenance.options == expected.provenance.options);
  REQUIRE(found.rows.size() == expected.rows.size());
  for (size_t i = 0; i < expected.rows.size(); ++i) {
    const EvaluationRow& a = found.rows[i];
    const EvaluationRow& b = expected.rows[i];
    CHECK(a.task == b.task);
    CHECK(a.method == b.method);
    CHECK(a.context_length == b.context_length);
    CHECK(a.retention == b.retention);
    CHECK(a.budget_tokens == b.budget_tokens);
    CHECK(a.kv_bytes == b.kv_bytes);
    CHECK(a.num_samples == b.num_samples);
    CHECK(a.accuracy == b.accuracy);
    CHECK(a.ci_low == b.ci_low);
    CHECK(a.ci_high == b.ci_high);
    CHECK(std::isnan(a.retention_of_full) == std::isnan(b.retention_of_full));
    CHECK(a.below_floor == b.below_floor);
    CHECK(a.metric == b.metric);
    CHECK(a.compression == b.compression);
    check_equal(a.cost, b.cost);
  }
  REQUIRE(found.samples.size() == expected.samples.size());
  for (size_t i = 0; i < expected.samples.size(); ++i) {
    const EvaluationSample& a = found.samples[i];
    const EvaluationSample& b = expected.samples[i];
    CHECK(a.task == b.task);
    CHECK(a.method == b.method);
    CHECK(a.context_length == b.context_length);
    CHECK(a.retention == b.retention);
    CHECK(a.sample == b.sample);
    CHECK(a.score == b.score);
    CHECK(a.kv_bytes == b.kv_bytes);
    CHECK(a.expected == b.expected);
    CHECK(a.response == b.response);
    CHECK(a.metric == b.metric);
    CHECK(a.compression == b.compression);
    CHECK(a.depth == b.depth);
    CHECK(a.prompt_tokens == b.prompt_tokens);
    CHECK(a.budget_tokens == b.budget_tokens);
    check_equal(a.cost, b.cost);
  }
}

}  // namespace

TEST_CASE("an evaluation survives JSON and HDF5, samples included", "[outputs]") {
  const ScratchFolder folder;
  for (const char* name : {"e.json", "e.h5"}) {
    INFO(name);
    write_evaluation(sample_evaluation(), folder / name, false);
    check_equal(read_evaluation(folder / name), sample_evaluation());
    Evaluation empty = sample_evaluation();
    empty.rows.clear();
    empty.samples.clear();
    write_evaluation(empty, folder / name, true);
    check_equal(read_evaluation(folder / name), empty);
  }
}

TEST_CASE("an evaluation as version 1.0 wrote it is still read", "[outputs]") {
  const Evaluation evaluation =
      read_evaluation(std::filesystem::path(HEADSCOPE_GOLDEN_FOLDER) / "evaluation_1_0.h5");
  REQUIRE(evaluation.rows.size() == 2);
  REQUIRE(evaluation.samples.size() == 4);
  CHECK(evaluation.rows[1].method == "snapkv");
  CHECK(evaluation.rows[1].budget_tokens == 128);
  // What it did not know yet.
  CHECK(evaluation.rows[1].metric.empty());
  CHECK(evaluation.rows[1].compression == kQuestionAware);
  CHECK(std::isnan(evaluation.rows[1].cost.first_token_seconds));
  CHECK(std::isnan(evaluation.samples[3].depth));
  CHECK(std::isnan(evaluation.samples[3].cost.prefill_peak_bytes));
}

TEST_CASE("truncations of an evaluation are refused", "[outputs]") {
  const std::string text = evaluation_to_json(sample_evaluation());
  for (size_t length = 0; length + 2 < text.size(); length += 7) {
    INFO("length " << length);
    REQUIRE_THROWS_AS(evaluation_from_json(text.substr(0, length), "e.json"), InputError);
  }
}

TEST_CASE("an evaluation with a wrong field is refused by name", "[outputs]") {
  const std::string text = evaluation_to_json(sample_evaluation());
  const auto after = [&](const std::string& old, const std::string& replacement) {
    std::string changed = text;
    changed.replace(changed.find(old), old.size(), replacement);
    return complaint([&] { static_cast<void>(evaluation_from_json(changed, "e.json")); });
  };
  CHECK(contains(after("headscope.evaluation", "headscope.plan"), "format"));
  CHECK(contains(after("\"1.1\"", "\"3.0\""), "newer headscope"));
  CHECK(contains(after("\"accuracy\": 0.5", "\"accuracy\": \"good\""), "rows[0]: accuracy"));
  CHECK(contains(after("\"sample\": 7", "\"sample\": -7"), "samples[0]: sample"));
}

}  // namespace headscope::outputs
