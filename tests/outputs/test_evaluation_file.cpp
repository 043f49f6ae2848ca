#include "outputs/evaluation_file.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "outputs/atomic_file.h"
#include "tests/outputs/samples.h"

namespace headscope::outputs {
namespace {

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
  CHECK(contains(after("\"1.0\"", "\"3.0\""), "newer headscope"));
  CHECK(contains(after("\"accuracy\": 0.5", "\"accuracy\": \"good\""), "rows[0]: accuracy"));
  CHECK(contains(after("\"sample\": 7", "\"sample\": -7"), "samples[0]: sample"));
}

}  // namespace headscope::outputs
