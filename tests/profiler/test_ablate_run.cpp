#include "profiler/ablate_run.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <set>

#include "model/head_mask.h"
#include "outputs/input_error.h"
#include "profiler/head_means.h"
#include "runtime/full_kv_cache.h"
#include "tests/profiler/planted_setup.h"

namespace headscope::testing {
namespace {

using profiler::AblateOptions;
using profiler::AblateOutcome;
using profiler::AblationArm;
using profiler::AblationRow;
using profiler::MaskMode;
using profiler::PlantedModelOptions;

PlantedModelOptions grouped(int64_t query_heads, int64_t kv_heads, HeadId planted) {
  PlantedModelOptions options;
  options.num_query_heads = query_heads;
  options.num_kv_heads = kv_heads;
  options.planted = planted;
  return options;
}

AblateOutcome run(const PlantedSetup& planted,
                  const std::vector<AblationArm>& arms,
                  MaskMode mode = MaskMode::kZero) {
  AblateOptions options;
  options.mode = mode;
  profiler::SilentProgress silent;
  return profiler::ablate(planted.model(), arms, planted.probes(),
                          planted.probes({200}, {0.5}, 1, /*seed=*/9), options, silent);
}

const AblationRow& row_of(const AblateOutcome& outcome, const std::string& which) {
  for (const AblationRow& row : outcome.rows) {
    if (row.which == which) return row;
  }
  throw std::runtime_error("no row " + which);
}

// A profile's scores with one best head: the others have a little, later ones less.
HeadMatrix one_best(const ModelShape& shape, const HeadId& best) {
  HeadMatrix scores(shape.num_layers, shape.num_query_heads);
  for (size_t i = 0; i < scores.values.size(); ++i) {
    scores.values[i] = 0.1 / static_cast<double>(i + 1);
  }
  scores.at(best.layer, best.head) = 1.0;
  return scores;
}

std::vector<int64_t> heads_per_layer(const AblationArm& arm, int64_t num_layers) {
  std::vector<int64_t> counts(static_cast<size_t>(num_layers), 0);
  for (const HeadId& head : arm.heads) ++counts[static_cast<size_t>(head.layer)];
  return counts;
}

}  // namespace

TEST_CASE("without the planted head no probe is answered, without others every one", "[profiler]") {
  const auto options = GENERATE(grouped(4, 2, {2, 1}), grouped(8, 8, {1, 7}),
                                grouped(10, 2, {3, 0}), grouped(14, 2, {2, 13}));
  const MaskMode mode = GENERATE(MaskMode::kZero, MaskMode::kMean);
  INFO(options.num_query_heads << " query heads, " << options.num_kv_heads << " KV heads, mode "
                               << static_cast<int>(mode));
  const PlantedSetup planted(options);
  const HeadMatrix scores = one_best(planted.identity.shape, options.planted);
  const auto arms = profiler::choose_arms("srh", scores, /*top=*/1, /*draws=*/3, /*seed=*/4);
  const AblateOutcome outcome = run(planted, arms, mode);
  REQUIRE(outcome.complete);
  REQUIRE(outcome.rows.size() == 7);  // none, top, random together, three draws, bottom
  CHECK(row_of(outcome, "none").accuracy == 1.0);
  CHECK((row_of(outcome, "top").heads == std::vector<HeadId>{options.planted}));
  CHECK(row_of(outcome, "top").accuracy == 0.0);
  CHECK(row_of(outcome, "top").cost == 1.0);
  CHECK(row_of(outcome, "top").cost_low == 1.0);
  CHECK(row_of(outcome, "random").accuracy == 1.0);
  CHECK(row_of(outcome, "random-3").accuracy == 1.0);
  CHECK(row_of(outcome, "bottom").cost == 0.0);
  CHECK(row_of(outcome, "none").num_probes == 6);
}

TEST_CASE("a head that only decoding would mask still answers from the prompt's pass",
          "[profiler]") {
  // The first answer token comes from the prompt's own pass: masked there too, it is another one.
  const PlantedSetup planted;
  const profiler::Probe probe = planted.probes().front();
  const auto first_token = [&](const model::HeadMask* mask) {
    runtime::FullKvCache cache(planted.identity.shape.num_layers);
    return planted.decoder->prefill(probe.prompt, cache, {.head_mask = mask})
        .argmax()
        .item<int64_t>();
  };
  const model::HeadMask mask(planted.identity.shape, at::kFloat, at::kCPU, {{{2, 1}, {}}});
  CHECK(first_token(nullptr) == probe.gold.front());
  CHECK(first_token(&mask) != probe.gold.front());
}

TEST_CASE("the mean output of a head is its mean over positions and prompts", "[profiler]") {
  const PlantedSetup planted;
  const ModelShape& shape = planted.identity.shape;
  profiler::HeadMeans means(shape);
  struct Recorder final : model::Observer {
    std::vector<at::Tensor> z;  // of layer 2, head 3
    void on_layer(const model::LayerView& view) override {
      if (view.layer == 2) z.push_back(view.z.select(1, 3)[0].clone());
    }
  } recorder;
  for (const profiler::Probe& probe : planted.probes({200, 256}, {0.5}, 1)) {
    for (model::Observer* observer :
         {static_cast<model::Observer*>(&means), static_cast<model::Observer*>(&recorder)}) {
      runtime::FullKvCache cache(shape.num_layers);
      planted.decoder->prefill(probe.prompt, cache, {.chunk_tokens = 50, .observer = observer});
    }
  }
  const at::Tensor expected = at::cat(recorder.z, 0).to(at::kDouble).mean(0);
  CHECK((means.mean({2, 3}).to(at::kDouble) - expected).abs().max().item<double>() < 1e-7);
  CHECK_THROWS_AS(profiler::HeadMeans(shape).mean({0, 0}), std::logic_error);
}

TEST_CASE("controls have as many heads in each layer as the top, and none of it", "[profiler]") {
  HeadMatrix scores(3, 6);
  const uint64_t seed = GENERATE(uint64_t{0}, uint64_t{1}, uint64_t{2});
  INFO("seed " << seed);
  for (size_t i = 0; i < scores.values.size(); ++i) {
    scores.values[i] = static_cast<double>((i * 7 + seed * 5) % 18);
  }
  const auto arms = profiler::choose_arms("srh", scores, 5, 4, seed);
  REQUIRE(arms.size() == 6);
  const std::set<HeadId> top(arms[0].heads.begin(), arms[0].heads.end());
  REQUIRE(top.size() == 5);
  std::set<std::vector<HeadId>> different;
  for (size_t i = 1; i < arms.size(); ++i) {
    INFO(arms[i].which);
    CHECK(heads_per_layer(arms[i], 3) == heads_per_layer(arms[0], 3));
    CHECK(profiler::is_layer_matched(arms[i], arms[0]));
    CHECK(std::set<HeadId>(arms[i].heads.begin(), arms[i].heads.end()).size() == 5);
    for (const HeadId& head : arms[i].heads) CHECK(top.count(head) == 0);
    different.insert(arms[i].heads);
  }
  CHECK(different.size() >= 4);  // draws differ
  // The bottom is what a layer scores lowest.
  for (const HeadId& head : arms.back().heads) {
    for (int64_t other = 0; other < 6; ++other) {
      const HeadId id{head.layer, other};
      const bool in_bottom = std::count(arms.back().heads.begin(), arms.back().heads.end(), id) > 0;
      if (!in_bottom) CHECK(scores.at(head.layer, head.head) < scores.at(id.layer, id.head));
    }
  }
  const auto again = profiler::choose_arms("srh", scores, 5, 4, seed);
  CHECK((again[2].heads == arms[2].heads));
}

TEST_CASE("a layer with too few other heads borrows from the nearest, and says so", "[profiler]") {
  HeadMatrix scores(3, 4, 0.0);
  for (const int64_t head : {0, 1, 2}) scores.at(0, head) = 1.0;  // one other is left in layer 0
  const auto arms = profiler::choose_arms("srh", scores, 3, 1, 0);
  CHECK(heads_per_layer(arms[1], 3) == std::vector<int64_t>{1, 2, 0});
  CHECK_FALSE(profiler::is_layer_matched(arms[1], arms[0]));
}

TEST_CASE("heads without a score are in no arm, and too many top heads are refused", "[profiler]") {
  HeadMatrix scores(2, 4, std::nan(""));
  for (int64_t head = 0; head < 4; ++head) scores.at(1, head) = static_cast<double>(head);
  for (const AblationArm& arm : profiler::choose_arms("srh", scores, 2, 3, 0)) {
    for (const HeadId& head : arm.heads) CHECK(head.layer == 1);
  }
  CHECK_THROWS_AS(profiler::choose_arms("srh", scores, 3, 1, 0), InputError);
  CHECK_THROWS_AS(profiler::choose_arms("srh", scores, 0, 1, 0), InputError);
}

TEST_CASE("the profile's own prompts are refused", "[profiler]") {
  const PlantedSetup planted;
  const auto probes = planted.probes({256}, {0.3}, 2, /*seed=*/1);
  HeadProfile profile;
  profiler::check_fresh(probes, profile);
  profile.probes.resize(1);
  profile.probes[0].prompt_hash = profiler::prompt_hash(probes[1].prompt);
  CHECK_THROWS_WITH(profiler::check_fresh(probes, profile), Catch::StartsWith("probe 1"));
}

TEST_CASE("a stopped check has whole comparisons only", "[profiler]") {
  const PlantedSetup planted;
  const std::vector<AblationArm> arms{{"top", "srh", {{2, 1}}}, {"bottom", "srh", {{2, 0}}}};
  StopAfter stop(7);  // two probes of three arms, and one answer more
  const AblateOutcome outcome =
      profiler::ablate(planted.model(), arms, planted.probes(), {}, {}, stop);
  CHECK_FALSE(outcome.complete);
  CHECK(outcome.num_probes == 2);
  CHECK(row_of(outcome, "bottom").num_probes == 2);
  StopAfter at_once(0);
  CHECK(profiler::ablate(planted.model(), arms, planted.probes(), {}, {}, at_once).rows.empty());
  AblateOptions mean;
  mean.mode = MaskMode::kMean;
  profiler::SilentProgress silent;
  CHECK_THROWS_WITH(profiler::ablate(planted.model(), arms, planted.probes(), {}, mean, silent),
                    Catch::StartsWith("mean prompts"));
}

}  // namespace headscope::testing
