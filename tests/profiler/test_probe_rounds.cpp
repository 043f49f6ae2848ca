// Open-ended runs: the order of their probes, when they look, and that they end the same however
// they were run.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <set>

#include "outputs/input_error.h"
#include "profiler/probe_rounds.h"
#include "profiler/profile_run.h"
#include "tests/profiler/planted_setup.h"

namespace headscope::testing {
namespace {

using profiler::Probe;
using profiler::ProfileOptions;
using profiler::ProfileOutcome;

std::vector<int64_t> ids_of(const std::vector<Probe>& probes) {
  std::vector<int64_t> ids;
  for (const Probe& probe : probes) ids.push_back(probe.id);
  return ids;
}

// 60 of one family, 20 of another, 4 controls of the first, one probe of a third.
std::vector<Probe> families() {
  std::vector<Probe> probes;
  const auto add = [&](const std::string& family, int count, bool is_control) {
    for (int i = 0; i < count; ++i) {
      Probe probe;
      probe.id = static_cast<int64_t>(probes.size());
      probe.family = family;
      probe.is_control = is_control;
      probes.push_back(probe);
    }
  };
  add("number", 60, false);
  add("word", 20, false);
  add("repeat", 1, false);
  add("number", 4, true);
  return probes;
}

// The top twentieth of the 16 heads is the planted one.
ProfileOptions until_stable() {
  ProfileOptions options;
  options.scores = {"srh", "retrieval"};
  options.until_stable =
      analysis::StopOptions{.top_fraction = 0.05, .min_probes = 8, .look_back = 4, .seed = 1};
  return options;
}

struct Stable {
  PlantedSetup planted;
  std::vector<Probe> probes = profiler::mixed_order(planted.probes({200}, {0.2, 0.5, 0.8}, 10), 1);

  ProfileOutcome run(const ProfileOptions& options,
                     profiler::ProgressSink& progress,
                     profiler::TrialLog* log = nullptr,
                     profiler::RankGroup* ranks = nullptr) const {
    return profiler::profile_heads(planted.model(), probes, options, {}, progress, log, ranks);
  }
};

void check_equal(const HeadProfile& a, const HeadProfile& b) {
  REQUIRE(a.probes.size() == b.probes.size());
  for (size_t i = 0; i < a.probes.size(); ++i) {
    CHECK(a.probes[i].prompt_hash == b.probes[i].prompt_hash);
  }
  for (const auto& [name, table] : a.scores) {
    const std::vector<float>& other = b.scores.at(name).samples;
    REQUIRE(table.samples.size() == other.size());
    CHECK(std::equal(other.begin(), other.end(), table.samples.begin(),
                     [](float x, float y) { return x == y || (std::isnan(x) && std::isnan(y)); }));
  }
}

// Rank 0 of two, whose other rank takes every second unit and never writes anything.
class IdleTwin final : public profiler::RankGroup {
 public:
  [[nodiscard]] int rank() const override { return 0; }
  [[nodiscard]] int size() const override { return 2; }
  [[nodiscard]] int64_t draw(const std::string& counter) override {
    const int64_t next = counters_[counter];
    counters_[counter] += 2;
    return next;
  }
  [[nodiscard]] int64_t drawn(const std::string& counter) override { return counters_[counter]; }
  [[nodiscard]] bool meet(const std::string&, const profiler::Cancelled&) override { return true; }
  [[nodiscard]] std::optional<std::string> agree(const std::string&,
                                                 const std::string& word,
                                                 const profiler::Cancelled&) override {
    return word;
  }

 private:
  std::map<std::string, int64_t> counters_;
};

}  // namespace

TEST_CASE("the mixed order holds every probe once, and every family at every length",
          "[profiler]") {
  const std::vector<Probe> given = families();
  const std::vector<Probe> mixed = profiler::mixed_order(given, 3);
  std::vector<int64_t> ids = ids_of(mixed);
  CHECK(ids != ids_of(given));
  CHECK(ids == ids_of(profiler::mixed_order(given, 3)));
  CHECK(ids != ids_of(profiler::mixed_order(given, 4)));
  std::map<std::string, int> counts;
  for (size_t i = 0; i < mixed.size(); ++i) {
    ++counts[mixed[i].family + (mixed[i].is_control ? " control" : "")];
    if (i == 3) CHECK(counts.size() == 4);
    const double share = static_cast<double>(i + 1) / static_cast<double>(mixed.size());
    CHECK(std::abs(counts["number"] - 60 * share) <= 2.0);
    CHECK(std::abs(counts["word"] - 20 * share) <= 2.0);
  }
  std::sort(ids.begin(), ids.end());
  for (size_t i = 0; i < ids.size(); ++i) CHECK(ids[i] == static_cast<int64_t>(i));
  // Within a family, the order is not that of the grid.
  std::vector<int64_t> numbers;
  for (const Probe& probe : mixed) {
    if (probe.family == "number" && !probe.is_control) numbers.push_back(probe.id);
  }
  CHECK_FALSE(std::is_sorted(numbers.begin(), numbers.end()));
}

TEST_CASE("rounds begin after the least number of probes and grow by a quarter", "[profiler]") {
  const analysis::StopOptions options;  // 24 probes at least, 16 to look back
  CHECK(profiler::round_ends(200, options) ==
        std::vector<size_t>({32, 48, 64, 80, 96, 112, 128, 160, 192, 200}));
  CHECK(profiler::round_ends(32, options) == std::vector<size_t>({32}));
  CHECK(profiler::round_ends(5, options) == std::vector<size_t>({5}));
}

TEST_CASE("a clear ranking ends the run early, and the profile says why", "[profiler]") {
  const Stable stable;
  profiler::SilentProgress silent;
  const ProfileOutcome outcome = stable.run(until_stable(), silent);
  CHECK(outcome.complete);
  REQUIRE(outcome.stop);
  CHECK(outcome.stop->stop);
  CHECK(outcome.stop->score == "srh");
  CHECK(outcome.stop->confidence >= 0.9);
  CHECK(outcome.profile.probes.size() < stable.probes.size() / 2);
  // The file alone gives the same decision.
  const auto told = analysis::stop_options_of(outcome.profile.provenance);
  REQUIRE(told);
  CHECK(told->min_probes == 8);
  CHECK(told->look_back == 4);
  analysis::StopOptions again = *told;
  again.seed = 1;
  CHECK(analysis::decide_stop(outcome.profile, again).reason == outcome.stop->reason);
  CHECK_FALSE(analysis::stop_options_of({}));
  // A rule that cannot be met puts every probe.
  ProfileOptions strict = until_stable();
  strict.until_stable->min_probes = 1000;
  const ProfileOutcome all = stable.run(strict, silent);
  CHECK(all.complete);
  CHECK_FALSE(all.stop->stop);
  CHECK(all.profile.probes.size() == stable.probes.size());
}

TEST_CASE("an interrupted open-ended run resumes to the uninterrupted one", "[profiler]") {
  const Stable stable;
  const std::string output = stable.planted.folder / "p.h5";
  profiler::SilentProgress silent;
  const ProfileOutcome whole = stable.run(until_stable(), silent);
  {
    StopAfter stop(3);
    profiler::TrialLog first(output);
    CHECK_FALSE(stable.run(until_stable(), stop, &first).complete);
  }
  {
    // More than the rule needs lies there as well: it counts no more than before.
    profiler::TrialLog more(output);
    ProfileOptions all = until_stable();
    all.until_stable->min_probes = 28;
    CHECK(stable.run(all, silent, &more).num_resumed == 3);
  }
  profiler::TrialLog second(output);
  const ProfileOutcome resumed = stable.run(until_stable(), silent, &second);
  CHECK(resumed.complete);
  CHECK(resumed.num_resumed == static_cast<int64_t>(whole.profile.probes.size()));
  CHECK(resumed.stop->reason == whole.stop->reason);
  check_equal(resumed.profile, whole.profile);
}

TEST_CASE("probes that another rank drew and did not leave are missed by name", "[profiler]") {
  const Stable stable;
  profiler::SilentProgress silent;
  profiler::TrialLog log(stable.planted.folder / "p.h5", /*rank=*/0);
  IdleTwin ranks;
  CHECK_THROWS_WITH(stable.run({}, silent, &log, &ranks), Catch::Contains("all 30 probes") &&
                                                              Catch::Contains("those of 15") &&
                                                              Catch::Contains("share"));
}

TEST_CASE("what a profile says of its stop rule must be numbers", "[profiler]") {
  Provenance made;
  analysis::describe_stop({.overlap = 0.85, .seed = 9}, made);
  made.seed = 9;
  const auto told = analysis::stop_options_of(made);
  REQUIRE(told);
  CHECK(told->overlap == 0.85);
  CHECK(told->seed == 9);
  made.options["stop_look_back"] = "many";
  CHECK_THROWS_AS(analysis::stop_options_of(made), InputError);
}

}  // namespace headscope::testing
