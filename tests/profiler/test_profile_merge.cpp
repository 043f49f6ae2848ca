#include <catch2/catch.hpp>
#include <cmath>

#include "outputs/input_error.h"
#include "profiler/profile_merge.h"
#include "profiler/profile_run.h"
#include "tests/profiler/planted_setup.h"

namespace headscope::testing {
namespace {

using profiler::merge_profiles;
using profiler::MergeOutcome;
using profiler::Probe;

struct Measured {
  PlantedSetup planted;
  std::vector<Probe> probes = planted.probes();

  [[nodiscard]] HeadProfile profile(size_t begin, size_t end) const {
    profiler::SilentProgress silent;
    const std::vector<Probe> some(probes.begin() + static_cast<std::ptrdiff_t>(begin),
                                  probes.begin() + static_cast<std::ptrdiff_t>(end));
    return profiler::profile_heads(planted.model(), some, {}, {}, silent).profile;
  }
};

}  // namespace

TEST_CASE("merging parts gives the profile of the whole", "[profiler]") {
  Measured measured;
  measured.probes[4].is_control = true;
  const HeadProfile whole = measured.profile(0, 6);
  const MergeOutcome merged =
      merge_profiles({{"a.h5", measured.profile(0, 3)}, {"b.h5", measured.profile(2, 6)}});
  CHECK(merged.num_overlapping == 1);
  REQUIRE(merged.profile.probes.size() == 5);
  CHECK(merged.profile.controls.probes.size() == 1);
  for (size_t i = 0; i < 5; ++i) {
    CHECK(merged.profile.probes[i].prompt_hash == whole.probes[i].prompt_hash);
    CHECK(merged.profile.probes[i].id == static_cast<int64_t>(i));
  }
  for (const auto& [name, table] : whole.scores) {
    INFO(name);
    const ScoreTable& other = merged.profile.scores.at(name);
    REQUIRE(other.samples.size() == table.samples.size());
    for (size_t i = 0; i < table.samples.size(); ++i) {
      CHECK((table.samples[i] == other.samples[i] ||
             (std::isnan(table.samples[i]) && std::isnan(other.samples[i]))));
    }
    for (size_t i = 0; i < table.mean.values.size(); ++i) {
      CHECK((table.mean.values[i] == other.mean.values[i] || std::isnan(table.mean.values[i])));
    }
  }
  CHECK(merge_profiles({{"a.h5", whole}, {"again.h5", whole}}).profile.probes.size() == 5);
}

TEST_CASE("what cannot be one experiment is refused by name", "[profiler]") {
  const Measured measured;
  const HeadProfile a = measured.profile(0, 2);
  const auto refused = [&](auto change, const std::string& mention) {
    HeadProfile b = measured.profile(1, 3);
    change(b);
    CHECK_THROWS_WITH(merge_profiles({{"a.h5", a}, {"b.h5", b}}),
                      Catch::Contains("b.h5") && Catch::Contains(mention));
  };
  refused([](HeadProfile& b) { b.probes[0].response += "!"; }, "response");
  refused([](HeadProfile& b) { b.scores.at("srh").samples[3] += 0.01F; }, "srh");
  refused([](HeadProfile& b) { b.scores.erase("retrieval"); }, "scores");
  refused([](HeadProfile& b) { b.provenance.dtype = "bfloat16"; }, "dtype");
  refused([](HeadProfile& b) { b.provenance.options["success_threshold"] = "0.9"; },
          "success_threshold");
  HeadProfile other = a;
  other.model.fingerprint = std::string(64, '0');
  CHECK_THROWS_AS(merge_profiles({{"a.h5", a}, {"b.h5", other}}), ModelMismatch);
  CHECK_THROWS_AS(merge_profiles({}), InputError);
  // Another number of threads rounds differently: no conflict.
  HeadProfile rounded = measured.profile(1, 3);
  rounded.scores.at("srh").samples[3] += 1e-6F;
  CHECK(merge_profiles({{"a.h5", a}, {"b.h5", rounded}}).profile.probes.size() == 3);
}

TEST_CASE("error curves are kept once and never mixed", "[profiler]") {
  const Measured measured;
  HeadProfile a = measured.profile(0, 2);
  HeadProfile b = measured.profile(2, 4);
  ErrorCurves curves;
  curves.budgets = {8, 16};
  curves.layer.assign(static_cast<size_t>(a.model.shape.num_layers) * 2, 0.5F);
  a.error_curves["srh4"] = curves;
  b.error_curves["srh4"] = curves;
  b.error_curves["srh2"] = curves;
  CHECK(merge_profiles({{"a.h5", a}, {"b.h5", b}}).profile.error_curves.size() == 2);
  b.error_curves["srh4"].layer[0] = 0.6F;
  CHECK_THROWS_WITH(merge_profiles({{"a.h5", a}, {"b.h5", b}}),
                    Catch::Contains("b.h5") && Catch::Contains("srh4"));
}

}  // namespace headscope::testing
