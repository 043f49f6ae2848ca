// Scores on readings worked by hand: two heads, one layer.
#include <algorithm>
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
  made.top_n = static_cast<int64_t>(top.size() / made.needle_mass.size());
  made.top_weight.assign(top.size(), 0.0F);
  made.top_position = std::move(top);
  made.sink_mass.assign(made.needle_mass.size(), 0.0F);
  made.recent_mass = made.echo_mass = made.induction_mass = made.sink_mass;
  return made;
}

// Steps that emit 9 (in the answer), 7 (in the answer once, in the needle twice), 5 (in neither).
std::vector<HeadReading> steps() {
  std::vector<HeadReading> made{reading(9, {0.9F, 0.1F}, {0.8F, 0.05F}, {4, 3, 0, 1}),
                                reading(7, {0.7F, 0.3F}, {0.5F, 0.25F}, {5, 4, 2, 5}),
                                reading(5, {0.6F, 0.6F}, {0.6F, 0.6F}, {4, 5, 4, 5})};
  made[0].top_weight = {0.7F, 0.1F, 0.4F, 0.3F};
  made[1].top_weight = {0.375F, 0.125F, 0.25F, 0.1F};
  made[2].top_weight = {0.5F, 0.1F, 0.5F, 0.1F};
  made[0].sink_mass = {0.25F, 0.5F};
  made[1].sink_mass = {0.5F, 0.25F};
  made[2].sink_mass = {0.75F, 0.0F};
  made[0].recent_mass = {0.125F, 0.25F};
  made[1].recent_mass = {0.0F, 1.0F};
  made[2].recent_mass = {0.25F, 0.25F};
  return made;
}

// One pass over 5 6 5 6 5 6: what a score of repeated tokens is read from.
Probe repeated_probe() {
  Probe made;
  made.prompt = {5, 6, 5, 6, 5, 6};
  made.repeat_period = 2;
  return made;
}

HeadReading repeated_reading() {
  HeadReading made = reading(0, {0.0F, 0.0F}, {0.0F, 0.0F}, {});
  made.echo_mass = {0.5F, 0.25F};
  made.induction_mass = {0.125F, 1.0F};
  return made;
}

// The only probes and readings that a score of this name takes.
Probe probe_for(const std::string& name) {
  return name == "echo" || name == "induction" ? repeated_probe() : probe();
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
  readings.push_back(reading(3, {1.0F, 1.0F}, {1.0F, 1.0F}, {6, 5, 6, 5}));
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
  const std::vector<HeadReading> none{reading(1, {0.5F, 0.5F}, {0.5F, 0.5F}, {0, 0, 0, 0})};
  CHECK(std::isnan(score("srh", none)[0]));
  CHECK(score("srh_paper", none)[0] == 0.0F);
  CHECK(score("srh_code", none)[0] == 0.0F);
  CHECK(score("retrieval", none)[0] == 0.0F);
}

TEST_CASE("r2 adds the weights of the N top positions that lie in the answer, token or not",
          "[profiler]") {
  const auto samples = score("r2", steps());
  // N = 2, so two steps and two positions each; whole answer = 4..5.
  CHECK(samples[0] == Approx((0.7 + (0.375 + 0.125)) / 2));
  CHECK(samples[1] == Approx((0.0 + 0.1) / 2));
  // Of more positions than N only the first N are looked at.
  HeadReading wide = reading(9, {0.9F, 0.1F}, {0.8F, 0.05F}, {0, 1, 4, 4, 0, 5});
  wide.top_weight = {0.5F, 0.25F, 0.125F, 0.5F, 0.25F, 0.125F};
  CHECK(score("r2", {wide})[0] == 0.0F);
  CHECK(score("r2", {wide})[1] == Approx(0.25));
}

TEST_CASE("r2 of all attention on the answer is one", "[profiler]") {
  HeadReading full = reading(9, {1.0F, 1.0F}, {1.0F, 1.0F}, {4, 5, 4, 5});
  full.top_weight = {0.5F, 0.5F, 1.0F, 0.0F};
  CHECK(score("r2", {full, full, full})[0] == Approx(1.0));
  CHECK(score("r2", {full, full, full})[1] == Approx(1.0));
}

TEST_CASE("sink and recency are means over all steps, whatever they emit", "[profiler]") {
  CHECK(score("sink", steps())[0] == Approx(0.5));
  CHECK(score("sink", steps())[1] == Approx(0.25));
  CHECK(score("recency", steps())[0] == Approx(0.125));
  CHECK(score("recency", steps())[1] == Approx(0.5));
}

TEST_CASE("echo and induction are their one reading's masses", "[profiler]") {
  const std::vector<HeadReading> pass{repeated_reading()};
  CHECK(score("echo", pass, repeated_probe()) == std::vector<float>({0.5F, 0.25F}));
  CHECK(score("induction", pass, repeated_probe()) == std::vector<float>({0.125F, 1.0F}));
}

TEST_CASE("several spans are one: their masses and lengths add up", "[profiler]") {
  // Answers (9 7) and (5): N = 3, of which 5 stands at positions 0 and 7.
  Probe several = probe();
  several.needle_spans = {{2, 7}, {7, 8}};
  several.answer_spans = {{4, 6}, {7, 8}};
  std::vector<HeadReading> readings = steps();
  for (HeadReading& step : readings) {
    step.top_n = 3;
    step.top_position = {7, 4, 0, 7, 4, 0};
    step.top_weight = {0.5F, 0.25F, 0.125F, 0.5F, 0.25F, 0.125F};
  }
  CHECK(score("srh", readings, several)[0] == Approx((0.9 + 0.7 + 0.6) / 3));
  CHECK(score("srh_paper", readings, several)[0] == Approx(0.8 + 0.5 + 0.6));
  CHECK(score("retrieval", readings, several)[0] == Approx(1.0 / 3));  // only 5 is at 7
  CHECK(score("r2", readings, several)[0] == Approx(3 * 0.75 / 3));
}

TEST_CASE("in a control every step counts, whatever it emits", "[profiler]") {
  Probe control = probe();
  control.is_control = true;
  CHECK(score("srh", steps(), control)[0] == Approx((0.9 + 0.7 + 0.6) / 3));
  CHECK(score("srh_paper", steps(), control)[0] == Approx(0.8 + 0.5 + 0.6));
  CHECK(score("srh_code", steps(), control)[0] == Approx(0.8 + 0.5 + 0.6));
  CHECK(score("retrieval", steps(), control)[0] == Approx(3.0 / 2));
  CHECK(score("retrieval", steps(), control)[1] == Approx(1.0 / 2));
  CHECK(score("sink", steps(), control) == score("sink", steps()));
}

TEST_CASE("a head whose window has moved on stays NaN under every score", "[profiler]") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const std::string& name : profiler::scorer_names()) {
    INFO(name);
    std::vector<HeadReading> readings = steps();
    HeadReading& step = readings[1];
    step.token = 1;  // matches nothing
    for (auto* mass : {&step.needle_mass, &step.answer_mass, &step.sink_mass, &step.recent_mass,
                       &step.echo_mass, &step.induction_mass}) {
      (*mass)[0] = nan;
    }
    step.top_position[0] = step.top_position[1] = -1;
    step.top_weight[0] = step.top_weight[1] = nan;
    const auto samples = score(name, readings, probe_for(name));
    CHECK(std::isnan(samples[0]));
    CHECK_FALSE(std::isnan(samples[1]));
  }
}

TEST_CASE("a probe has samples only for the scores of its kind", "[profiler]") {
  const profiler::ScorerSet scorers =
      profiler::make_scorers({"srh", "sink", "echo", "induction"}, two_heads());
  const auto asked = profiler::score_probe(scorers, two_heads(), probe(), steps());
  CHECK(asked.at("srh")[0] == Approx(0.8));
  CHECK(std::isnan(asked.at("echo")[0]));
  CHECK(asked.at("induction").size() == 2);
  const auto repeated =
      profiler::score_probe(scorers, two_heads(), repeated_probe(), {repeated_reading()});
  CHECK(std::isnan(repeated.at("srh")[1]));
  CHECK(std::isnan(repeated.at("sink")[1]));
  CHECK(repeated.at("echo")[0] == 0.5F);
}

TEST_CASE("the default scores follow the probes", "[profiler]") {
  const auto has = [](const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  const auto asked = profiler::default_scores({probe()});
  CHECK(has(asked, "srh"));
  CHECK(has(asked, "r2"));
  CHECK_FALSE(has(asked, "echo"));
  const auto both = profiler::default_scores({probe(), repeated_probe()});
  CHECK(has(both, "srh"));
  CHECK(has(both, "echo"));
  CHECK(has(both, "induction"));
  CHECK_FALSE(has(profiler::default_scores({repeated_probe()}), "srh"));
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
    scorers[0]->begin(probe_for(name));
    CHECK_THROWS_AS(scorers[0]->accumulate(reading(9, {0.1F}, {0.1F}, {0, 1})),
                    std::invalid_argument);
  }
}

}  // namespace headscope::testing
