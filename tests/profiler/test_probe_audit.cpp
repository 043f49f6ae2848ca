#include <catch2/catch.hpp>
#include <cmath>

#include "profiler/probe_audit.h"

namespace headscope::profiler {
namespace {

using Catch::Contains;

ProbeRecord record(
    int64_t id, const std::string& family, int64_t length, double asked, bool success) {
  ProbeRecord made;
  made.id = id;
  made.family = family;
  made.needle_id = family + "-" + std::to_string(id);
  made.context_length = length;
  made.asked_depth = asked;
  made.achieved_depth = asked + 0.02;
  made.needle_spans = {{10, 30}};
  made.answer_spans = {{20, 25}};
  made.success = success;
  made.prompt_hash = "hash-" + std::to_string(id);
  return made;
}

// Two families, two lengths, two depths; every second of family b answered.
HeadProfile audited() {
  HeadProfile profile;
  for (const std::string family : {"a", "b"}) {
    for (const int64_t length : {490, 1010}) {
      for (const double depth : {0.2, 0.8}) {
        const int64_t id = std::ssize(profile.probes);
        profile.probes.push_back(record(id, family, length, depth, family == "a" || depth < 0.5));
      }
    }
  }
  ScoreTable table;
  for (size_t i = 0; i < profile.probes.size(); ++i) {
    const bool counted = profile.probes[i].success;
    const auto value = counted ? static_cast<float>(i) : std::nanf("");
    table.samples.insert(table.samples.end(), {value, value});
  }
  profile.scores["srh"] = table;
  return profile;
}

TEST_CASE("an audit counts prompts, trials and spans, and finds nothing amiss", "[profiler]") {
  const ProbeAudit audit = audit_probes(audited());
  CHECK(audit.num_probes == 8);
  CHECK(audit.num_distinct_prompts == 8);
  CHECK(audit.num_with_needle == 8);
  CHECK(audit.num_spans_in_place == 8);
  CHECK(audit.mean_depth_gap == Approx(0.02));
  CHECK(audit.max_depth_gap == Approx(0.02));
  CHECK(audit.num_counted == 6);
  CHECK(audit.num_distinct_trials == 6);
  CHECK(audit.warnings.empty());
}

TEST_CASE("success is told by family, context length and depth", "[profiler]") {
  HeadProfile profile = audited();
  profile.provenance.options["context_lengths"] = "512,1024";
  const ProbeAudit audit = audit_probes(profile);
  REQUIRE(audit.cells.size() == 8);
  CHECK(audit.cells[0].family == "a");
  CHECK(audit.cells[0].context_length == 512);
  CHECK(audit.cells[0].depth == 0.2);
  CHECK(audit.cells[7].context_length == 1024);
  CHECK(audit.cells[7].num_answered == 0);
  CHECK(audit.cells[6].num_answered == 1);
  REQUIRE(audit.families.size() == 2);
  CHECK(audit.families[1].num_probes == 4);
  CHECK(audit.families[1].num_answered == 2);
}

TEST_CASE("without asked lengths, prompts of nearly one length are one cell", "[profiler]") {
  HeadProfile profile = audited();
  profile.probes[1].context_length = 470;
  const ProbeAudit audit = audit_probes(profile);
  CHECK(audit.cells[0].context_length == 490);
  CHECK(audit.cells[1].context_length == 490);
  CHECK(audit.cells[2].context_length == 1010);
}

TEST_CASE("copies among prompts and among trials are counted and warned of", "[profiler]") {
  HeadProfile profile = audited();
  profile.probes[1].prompt_hash = profile.probes[0].prompt_hash;
  profile.scores["srh"].samples[2] = profile.scores["srh"].samples[0];
  profile.scores["srh"].samples[3] = profile.scores["srh"].samples[1];
  const ProbeAudit audit = audit_probes(profile);
  CHECK(audit.num_distinct_prompts == 7);
  CHECK(audit.num_distinct_trials == 5);
  REQUIRE(audit.warnings.size() == 1);
  CHECK_THAT(audit.warnings[0], Contains("7 of 8"));
}

TEST_CASE("spans out of place and depths far off are warned of", "[profiler]") {
  HeadProfile profile = audited();
  profile.probes[0].answer_spans = {{40, 45}};
  profile.probes[1].needle_spans = {{10, 600}};
  profile.probes[2].achieved_depth = profile.probes[2].asked_depth + 0.3;
  const ProbeAudit audit = audit_probes(profile);
  CHECK(audit.num_spans_in_place == 6);
  CHECK(audit.max_depth_gap == Approx(0.3));
  REQUIRE(audit.warnings.size() == 2);
  CHECK_THAT(audit.warnings[0], Contains("2 of 8"));
  CHECK_THAT(audit.warnings[1], Contains("0.3"));
}

TEST_CASE("a control that is answered tells of the model's prior", "[profiler]") {
  HeadProfile profile = audited();
  for (int64_t i = 0; i < 4; ++i) {
    profile.controls.probes.push_back(record(i, "b", 500, 0.5, i == 0));
    profile.controls.probes.push_back(record(i, "a", 500, 0.5, false));
  }
  const ProbeAudit audit = audit_probes(profile);
  CHECK(audit.num_controls == 8);
  CHECK(audit.num_controls_answered == 1);
  REQUIRE(audit.warnings.size() == 1);
  CHECK_THAT(audit.warnings[0], Contains("family b") && Contains("1 of 4"));
}

TEST_CASE("repeated tokens have nothing to be found, and that is no fault", "[profiler]") {
  HeadProfile profile = audited();
  ProbeRecord repeat = record(8, "repeat", 512, 0.0, true);
  repeat.needle_spans.clear();
  repeat.answer_spans.clear();
  profile.probes.push_back(repeat);
  profile.scores.clear();
  const ProbeAudit audit = audit_probes(profile);
  CHECK(audit.num_probes == 9);
  CHECK(audit.num_with_needle == 8);
  CHECK(audit.warnings.empty());
}

}  // namespace
}  // namespace headscope::profiler
