// Shared mode beside exact mode: which questions are compared, and with what.
#include <catch2/catch.hpp>
#include <set>

#include "profiler/mode_agreement.h"
#include "profiler/probes/family_probes.h"
#include "profiler/profile_run.h"
#include "tests/profiler/planted_setup.h"

namespace headscope::testing {
namespace {

using profiler::Probe;

profiler::FamilyRequest request() {
  profiler::FamilyRequest asked;
  asked.grid.context_lengths = {400, 600};
  asked.grid.depths = {0.1, 0.5, 0.9};
  asked.grid.controls_per_length = 1;
  asked.grid.seed = 4;
  asked.num_needles = 6;
  return asked;
}

std::vector<Probe> shared_probes(const PlantedSetup& planted) {
  profiler::SharedProbes shared =
      profiler::build_shared_family_probes(request(), 0.4, nullptr, nullptr, planted.writer());
  std::vector<Probe> probes;
  for (const auto& group : shared.groups) {
    probes.insert(probes.end(), group.probes.begin(), group.probes.end());
  }
  probes.insert(probes.end(), shared.alone.begin(), shared.alone.end());
  return probes;
}

HeadProfile run(const PlantedSetup& planted, const std::vector<Probe>& probes) {
  profiler::SilentProgress silent;
  return profiler::profile_heads(planted.model(), probes, {}, {}, silent).profile;
}

}  // namespace

TEST_CASE("shared and exact mode of a planted model agree on its head", "[profiler]") {
  const PlantedSetup planted;
  const HeadProfile shared = run(planted, shared_probes(planted));
  const std::vector<Probe> exact =
      profiler::build_family_probes(request(), nullptr, nullptr, planted.writer());
  const std::vector<Probe> some = profiler::comparison_probes(exact, shared, 8);
  REQUIRE(some.size() == 8);
  const profiler::ModeAgreement found = profiler::mode_agreement(run(planted, some), shared);
  CHECK(found.num_probes == 8);
  CHECK(found.num_successful == 8);
  REQUIRE(found.scores.count("srh") == 1);
  CHECK(found.scores.at("srh").num_pairs == 8);
  CHECK(found.scores.at("srh").spearman > 0.5);
  CHECK(found.scores.at("srh").top_jaccard == Approx(1.0));
}

TEST_CASE("what is compared is spread over the questions that both modes ask", "[profiler]") {
  const PlantedSetup planted;
  const std::vector<Probe> exact =
      profiler::build_family_probes(request(), nullptr, nullptr, planted.writer());
  HeadProfile shared;
  for (const Probe& probe : shared_probes(planted)) {
    if (probe.is_control) continue;
    ProbeRecord record;
    record.family = probe.family;
    record.needle_id = probe.needle_id;
    shared.probes.push_back(record);
  }
  std::set<int64_t> lengths;
  std::set<std::string> needles;
  for (const Probe& probe : profiler::comparison_probes(exact, shared, 6)) {
    CHECK_FALSE(probe.is_control);
    lengths.insert(std::ssize(probe.prompt) > 500 ? 600 : 400);
    needles.insert(probe.needle_id);
  }
  CHECK(lengths.size() == 2);
  CHECK(needles.size() == 6);
  // All there are where more are asked for; none that shared mode was not asked.
  CHECK(profiler::comparison_probes(exact, shared, 1000).size() == 12);
  shared.probes.resize(1);
  for (const Probe& probe : profiler::comparison_probes(exact, shared, 1000)) {
    CHECK(probe.needle_id == shared.probes[0].needle_id);
  }
}

TEST_CASE("a question is compared with its counterpart of the nearest length", "[profiler]") {
  HeadProfile exact;
  exact.model.shape.num_layers = 1;
  exact.model.shape.num_query_heads = 3;
  ProbeRecord probe;
  probe.family = "number";
  probe.needle_id = "n";
  probe.context_length = 500;
  probe.success = true;
  exact.probes = {probe};
  exact.scores["srh"].samples = {0.1F, 0.2F, 0.3F};
  HeadProfile shared = exact;
  shared.probes.assign(4, probe);
  shared.probes[0].context_length = 900;
  shared.probes[1].context_length = 510;
  shared.probes[2].context_length = 480;
  shared.probes[3].needle_id = "other";
  shared.scores["srh"].samples = {0.3F, 0.2F, 0.1F, 0.4F, 0.5F, 0.6F,
                                  0.3F, 0.2F, 0.1F, 0.3F, 0.2F, 0.1F};
  CHECK(profiler::mode_agreement(exact, shared).scores.at("srh").spearman == Approx(1.0));
  shared.probes[1].family = "word";
  CHECK(profiler::mode_agreement(exact, shared).scores.at("srh").spearman == Approx(-1.0));
}

}  // namespace headscope::testing
