#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>

#include "outputs/input_error.h"
#include "outputs/profile_file.h"
#include "profiler/capture.h"
#include "profiler/greedy_answer.h"
#include "profiler/profile_run.h"
#include "tests/profiler/planted_setup.h"
#include "tests/profiler/same_profiles.h"

namespace headscope::testing {
namespace {

using profiler::Probe;
using profiler::ProfileOptions;
using profiler::ProfileOutcome;

HeadProfile run(const PlantedSetup& planted,
                const std::vector<Probe>& probes,
                const ProfileOptions& options = {}) {
  profiler::SilentProgress silent;
  return profiler::profile_heads(planted.model(), probes, options, {}, silent).profile;
}

// The right draft, one that is wrong at once, one that is wrong in the middle, one too long, none.
std::vector<Probe> with_all_kinds_of_drafts(std::vector<Probe> probes) {
  probes.resize(5, probes.front());
  for (size_t i = 0; i < probes.size(); ++i) probes[i].id = static_cast<int64_t>(i);
  probes[1].gold.front() = probes[1].prompt.front();
  probes[2].gold.at(2) = probes[2].prompt.front();
  probes[3].gold.insert(probes[3].gold.end(), 3, probes[3].prompt.front());
  probes[4].gold.clear();
  return probes;
}

}  // namespace

TEST_CASE("the draft changes neither the answer nor the scores", "[profiler]") {
  const PlantedSetup planted;
  const std::vector<Probe> probes = with_all_kinds_of_drafts(planted.probes());
  ProfileOptions options;
  const HeadProfile with_draft = run(planted, probes, options);
  options.use_draft = false;
  check_same(with_draft, run(planted, probes, options), 1e-5);
  // The right draft ends the answer; the wrong ones let the model talk on.
  CHECK(with_draft.probes[0].response.size() < with_draft.probes[1].response.size());
}

TEST_CASE("reused prefixes change nothing, bit for bit", "[profiler]") {
  const PlantedSetup planted;
  // One needle, several depths and lengths: long shared beginnings.
  const std::vector<Probe> probes = planted.probes({200, 260, 330}, {0.3, 0.7, 0.9}, 1);
  ProfileOptions options;
  options.chunk_tokens = 32;
  const HeadProfile reused = run(planted, probes, options);
  options.reuse_prefixes = false;
  check_same(reused, run(planted, probes, options), 0.0);
}

TEST_CASE("two profiles of the same probes are equal", "[profiler]") {
  const PlantedSetup planted;
  const std::vector<Probe> probes = planted.probes();
  check_same(run(planted, probes), run(planted, probes), 0.0);
}

TEST_CASE("a probe that fails the gate is recorded and does not count", "[profiler]") {
  const PlantedSetup planted;
  std::vector<Probe> probes = planted.probes();
  probes[1].answer = "something else entirely";
  const HeadProfile profile = run(planted, probes);
  CHECK(profile.num_successful() == static_cast<int64_t>(probes.size()) - 1);
  CHECK_FALSE(profile.probes[1].success);
  CHECK_FALSE(profile.probes[1].response.empty());
  CHECK(profile.probes[1].gate_value == 0.0);
  const size_t heads = profile.scores.at("srh").mean.values.size();
  for (const auto& [name, table] : profile.scores) {
    std::map<std::string, std::pair<double, int>> families;  // sum and count
    for (size_t probe = 0; probe < probes.size(); ++probe) {
      const float sample = table.samples[probe * heads];
      CHECK(std::isnan(sample) == (probe == 1));
      if (probe == 1) continue;
      families[probes[probe].family].first += sample;
      families[probes[probe].family].second += 1;
    }
    REQUIRE(families.size() == 2);
    double mean = 0.0;
    for (const auto& [family, of_family] : families) mean += of_family.first / of_family.second / 2;
    CHECK(table.mean.values[0] == Approx(mean).margin(1e-9));
  }
}

TEST_CASE("a mix weighs the families in the mean scores and is part of the profile", "[profiler]") {
  const PlantedSetup planted;
  const std::vector<Probe> probes = planted.probes();
  ProfileOptions options;
  options.mix = {{"word", 1.0}};
  const HeadProfile profile = run(planted, probes, options);
  CHECK(profile.provenance.options.at("family_mix") == "word=1");
  const ScoreTable& table = profile.scores.at("srh");
  const size_t heads = table.mean.values.size();
  double sum = 0.0;
  int count = 0;
  for (size_t probe = 0; probe < probes.size(); ++probe) {
    if (probes[probe].family != "word") continue;
    sum += table.samples[probe * heads + 9];
    ++count;
  }
  CHECK(table.mean.values[9] == Approx(sum / count));
  CHECK(run(planted, probes).provenance.options.at("family_mix") == "equal");
  options.mix = {{"wrod", 1.0}};
  CHECK_THROWS_WITH(run(planted, probes, options),
                    Catch::Contains("number, word") && Catch::Contains("wrod"));
}

TEST_CASE("the record tells where the needle stood and what was said", "[profiler]") {
  const PlantedSetup planted;
  const std::vector<Probe> probes = planted.probes();
  const HeadProfile profile = run(planted, probes);
  for (size_t i = 0; i < probes.size(); ++i) {
    const ProbeRecord& record = profile.probes[i];
    CHECK(record.context_length == static_cast<int64_t>(probes[i].prompt.size()));
    CHECK((record.needle_spans == probes[i].needle_spans));
    CHECK((record.answer_spans == probes[i].answer_spans));
    CHECK(record.prompt_format == "raw");
    CHECK(record.needle_id == probes[i].needle_id);
    CHECK(record.response.find(record.answer) != std::string::npos);
    CHECK(record.prompt_hash.size() == 64);
  }
}

TEST_CASE("an interrupted profile resumes to the uninterrupted one", "[profiler]") {
  const PlantedSetup planted;
  const std::vector<Probe> probes = planted.probes();
  const ProfileOptions options;
  const std::string output = planted.folder / "p.h5";

  StopAfter stop(2);
  {
    profiler::TrialLog first(output);
    const ProfileOutcome partial =
        profiler::profile_heads(planted.model(), probes, options, {}, stop, &first);
    CHECK_FALSE(partial.complete);
    CHECK(partial.profile.probes.size() == 2);
    CHECK(profiler::read_journal(first.path())->trials.size() == 2);
  }
  profiler::SilentProgress silent;
  profiler::TrialLog second(output);
  const ProfileOutcome resumed =
      profiler::profile_heads(planted.model(), probes, options, {}, silent, &second);
  CHECK(resumed.complete);
  CHECK(resumed.num_resumed == 2);
  check_same(resumed.profile, run(planted, probes, options), 0.0);
  // Each probe ran once, and running all of it again adds nothing.
  CHECK(profiler::read_journal(second.path())->trials.size() == probes.size());
  const ProfileOutcome again =
      profiler::profile_heads(planted.model(), probes, options, {}, silent, &second);
  CHECK(again.num_resumed == static_cast<int64_t>(probes.size()));
  CHECK(profiler::read_journal(second.path())->trials.size() == probes.size());
  second.discard();
  CHECK_FALSE(std::filesystem::exists(second.path()));
}

TEST_CASE("trials of another run are refused by name, or replaced where that was asked",
          "[profiler]") {
  const PlantedSetup planted;
  const std::vector<Probe> probes = planted.probes();
  ProfileOptions options;
  const std::string output = planted.folder / "p.h5";
  profiler::SilentProgress silent;
  {
    StopAfter stop(1);
    profiler::TrialLog first(output);
    static_cast<void>(profiler::profile_heads(planted.model(), probes, options, {}, stop, &first));
  }
  options.max_answer_tokens = 3;
  profiler::TrialLog second(output);
  CHECK_THROWS_WITH(profiler::profile_heads(planted.model(), probes, options, {}, silent, &second),
                    Catch::Contains("p.h5.trials") && Catch::Contains("max answer tokens 3") &&
                        Catch::Contains("max answer tokens 50"));
  profiler::TrialLog third(output, /*rank=*/-1, /*replace=*/true);
  const ProfileOutcome fresh =
      profiler::profile_heads(planted.model(), probes, options, {}, silent, &third);
  CHECK(fresh.complete);
  CHECK(fresh.num_resumed == 0);
}

TEST_CASE("a grid that grows takes up the trials it shares with the smaller one", "[profiler]") {
  const PlantedSetup planted;
  std::vector<Probe> probes = planted.probes();
  const std::string output = planted.folder / "p.h5";
  profiler::SilentProgress silent;
  profiler::TrialLog log(output);
  const std::vector<Probe> some(probes.begin() + 2, probes.begin() + 5);
  static_cast<void>(profiler::profile_heads(planted.model(), some, {}, {}, silent, &log));
  std::reverse(probes.begin(), probes.end());
  // A higher bar judges the same trials anew: it is no part of them.
  ProfileOptions strict;
  strict.success_threshold = 0.99;
  const ProfileOutcome grown =
      profiler::profile_heads(planted.model(), probes, strict, {}, silent, &log);
  CHECK(grown.num_resumed == 3);
  check_same(grown.profile, run(planted, probes, strict), 0.0);
}

TEST_CASE("controls count whatever they answer, apart from the probes", "[profiler]") {
  const PlantedSetup planted;
  std::vector<Probe> probes = planted.probes();
  const HeadProfile plain = run(planted, probes);
  probes[1].is_control = true;
  probes[1].answer = "something else entirely";
  const HeadProfile profile = run(planted, probes);
  REQUIRE(profile.controls.probes.size() == 1);
  CHECK(profile.controls.probes[0].id == probes[1].id);
  CHECK_FALSE(profile.controls.probes[0].success);
  CHECK(profile.probes.size() == probes.size() - 1);
  const size_t heads = profile.scores.at("srh").mean.values.size();
  for (const auto& [name, table] : profile.controls.scores) {
    INFO(name);
    REQUIRE(table.samples.size() == heads);
    if (name != "retrieval") CHECK_FALSE(std::isnan(table.samples[0]));
    CHECK(profile.scores.at(name).samples.size() == heads * profile.probes.size());
  }
  CHECK(plain.controls.probes.empty());
}

TEST_CASE("a probe without room for its answer is refused by name", "[profiler]") {
  profiler::PlantedModelOptions small;
  small.max_positions = 256;
  const PlantedSetup planted(small);
  std::vector<Probe> probes = planted.probes({200}, {0.5}, 1);
  probes[0].prompt.insert(probes[0].prompt.end(), 256 - probes[0].prompt.size(), 5);
  CHECK_THROWS_WITH(run(planted, probes),
                    Catch::Contains("256 positions") && Catch::Contains("256 tokens"));
  // To the last position it may go.
  probes[0].prompt.resize(256 - probes[0].gold.size() + 1);
  CHECK_NOTHROW(run(planted, probes));
}

TEST_CASE("options out of range are refused by name", "[profiler]") {
  const PlantedSetup planted;
  const std::vector<Probe> probes = planted.probes({200}, {0.5}, 1);
  const auto refused = [&](auto change, const std::string& name) {
    ProfileOptions options;
    change(options);
    CHECK_THROWS_WITH(run(planted, probes, options), Catch::Contains(name));
  };
  refused([](ProfileOptions& o) { o.success_threshold = 1.0; }, "success threshold");
  refused([](ProfileOptions& o) { o.max_answer_tokens = 0; }, "max answer tokens");
  refused([](ProfileOptions& o) { o.extra_answer_tokens = -1; }, "extra answer tokens");
  refused([](ProfileOptions& o) { o.chunk_tokens = 8; }, "chunk tokens");
  refused([](ProfileOptions& o) { o.scores = {"none such"}; }, "scores");
  CHECK_THROWS_AS(run(planted, {}), InputError);
}

TEST_CASE("broken characters in an answer are replaced, whole ones are kept", "[profiler]") {
  CHECK(profiler::valid_utf8("plain") == "plain");
  CHECK(profiler::valid_utf8("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80") ==
        "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
  CHECK(profiler::valid_utf8("a\xE2\x82") == "a\xEF\xBF\xBD\xEF\xBF\xBD");
  CHECK(profiler::valid_utf8("\xED\xA0\x80") == "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
}

}  // namespace headscope::testing
