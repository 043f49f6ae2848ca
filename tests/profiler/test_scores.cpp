// Scores on readings worked by hand: two heads, one layer.
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "outputs/input_error.h"
#include "profiler/scorer_registry.h"

namespace headscope::testing {
namespace {

using profiler::HeadReading;
using profiler::Probe;

ModelShape two_heads() {
  ModelShape shape;
  shape.num_layers = 1;
  shape.num_query_heads = 2;
  shape.num_kv_heads = 1;
  return shape;
}

// Prompt:  5 6 [7 8 (9 7) 3] 5     needle at 2..6, answer (9 7) at 4..5.
Probe probe() {
  Probe made;
  made.prompt = {5, 6, 7, 8, 9, 7, 3, 5};
  made.needle_spans = {{2, 7}};
  made.answer_spans = {{4, 6}};
  return made;
}

HeadReading reading(int64_t token,
                    std::vector<float> needle,
                    std::vector<float> answer,
                    std::vector<int64_t> top) {
  HeadReading made;
  made.token = token;
  made.needle_mass = std::move(needle);
  made.answer_mass = std::move(answer);
  made.top_position = std::move(top);
  return made;
}

// Steps that emit 9 (in the answer), 7 (in the answer once, in the needle twice), 5 (in neither).
std::vector<HeadReading> steps() {
  return {reading(9, {0.9F, 0.1F}, {0.8F, 0.05F}, {4, 0}),
          reading(7, {0.7F, 0.3F}, {0.5F, 0.25F}, {5, 2}),
          reading(5, {0.6F, 0.6F}, {0.6F, 0.6F}, {4, 4})};
}

std::vector<float> score(const std::string& name,
                         const std::vector<HeadReading>& readings,
                         const Probe& of = probe(),
                         const profiler::ScorerOptions& options = {}) {
  const profiler::ScorerSet scorers = profiler::make_scorers({name}, two_heads(), options);
  // An earlier probe must leave nothing behind.
  scorers[0]->begin(of);
  scorers[0]->accumulate(readings[0]);
  scorers[0]->begin(of);
  for (const HeadReading& each : readings) scorers[0]->accumulate(each);
  return scorers[0]->finish();
}

}  // namespace

TEST_CASE("srh is the mean needle mass over the steps that emit a needle token", "[profiler]") {
  const auto samples = score("srh", steps());
  CHECK(samples[0] == Approx((0.9 + 0.7) / 2));
  CHECK(samples[1] == Approx((0.1 + 0.3) / 2));
}

TEST_CASE("srh over the answer span looks at the answer alone", "[profiler]") {
  // 3 stands in the needle, not in the answer: that step must not count.
  std::vector<HeadReading> readings = steps();
  readings.push_back(reading(3, {1.0F, 1.0F}, {1.0F, 1.0F}, {6, 6}));
  const auto samples = score("srh", readings, probe(), {profiler::SpanChoice::kAnswer});
  CHECK(samples[0] == Approx((0.8 + 0.5) / 2));
  CHECK(samples[1] == Approx((0.05 + 0.25) / 2));
}

TEST_CASE("srh_paper sums answer mass over matching steps, without dividing", "[profiler]") {
  const auto samples = score("srh_paper", steps());
  CHECK(samples[0] == Approx(0.8 + 0.5));
  CHECK(samples[1] == Approx(0.05 + 0.25));
}

TEST_CASE("srh_code counts a step once per answer position that holds its token", "[profiler]") {
  Probe repeated = probe();
  repeated.prompt = {5, 6, 7, 8, 9, 9, 3, 5};  // answer (9 9)
  const auto samples = score("srh_code", steps(), repeated);
  CHECK(samples[0] == Approx(2 * 0.8));
  CHECK(samples[1] == Approx(2 * 0.05));
}

TEST_CASE("retrieval counts top positions in the answer that hold the emitted token",
          "[profiler]") {
  const auto samples = score("retrieval", steps());
  // Head 0: position 4 holds 9, position 5 holds 7; at the third step position 4 does not hold 5.
  CHECK(samples[0] == Approx(1.0));
  // Head 1: position 2 holds 7 but lies before the answer.
  CHECK(samples[1] == Approx(0.0));
}

TEST_CASE("without a matching step srh has nothing to say, the sums are zero", "[profiler]") {
  const std::vector<HeadReading> none{reading(1, {0.5F, 0.5F}, {0.5F, 0.5F}, {0, 0})};
  CHECK(std::isnan(score("srh", none)[0]));
  CHECK(score("srh_paper", none)[0] == 0.0F);
  CHECK(score("srh_code", none)[0] == 0.0F);
  CHECK(score("retrieval", none)[0] == 0.0F);
}

TEST_CASE("a head whose window has moved on stays NaN under every score", "[profiler]") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<HeadReading> readings = steps();
  readings[2] = reading(5, {nan, 0.6F}, {nan, 0.6F}, {-1, 4});  // a step that matches nothing
  for (const std::string& name : profiler::scorer_names()) {
    INFO(name);
    const auto samples = score(name, readings);
    CHECK(std::isnan(samples[0]));
    CHECK_FALSE(std::isnan(samples[1]));
  }
}

TEST_CASE("unknown and repeated scores are refused by name", "[profiler]") {
  CHECK_THROWS_WITH(profiler::make_scorers({"srh", "magic"}, two_heads()),
                    Catch::Contains("srh_paper") && Catch::Contains("\"magic\""));
  CHECK_THROWS_AS(profiler::make_scorers({"srh", "srh"}, two_heads()), InputError);
  CHECK_THROWS_AS(profiler::make_scorers({}, two_heads()), InputError);
}

TEST_CASE("a reading of another model is the caller's mistake", "[profiler]") {
  for (const std::string& name : profiler::scorer_names()) {
    const profiler::ScorerSet scorers = profiler::make_scorers({name}, two_heads());
    scorers[0]->begin(probe());
    CHECK_THROWS_AS(scorers[0]->accumulate(reading(9, {0.1F}, {0.1F}, {0})), std::invalid_argument);
  }
}

}  // namespace headscope::testing
