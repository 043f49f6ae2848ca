// The two checks through the program: `ablate` on a planted model whose retrieval head is layer 2,
// head 1, and `selftest`.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "profiler/planted_model.h"
#include "tests/support/program.h"
#include "tests/support/scratch_folder.h"

using headscope::testing::ProgramResult;
using headscope::testing::run_headscope;
using headscope::testing::ScratchFolder;
using Json = nlohmann::json;

namespace {

struct AblationJob {
  ScratchFolder scratch;
  std::string model = scratch.file("model");
  std::string profile = scratch.file("profile.h5");

  AblationJob() {
    headscope::profiler::write_planted_model({}, model);
    const ProgramResult made =
        run_headscope({"profile", model, "--out", profile, "--context-lengths", "256", "--depths",
                       "0.2,0.8", "--needles-per-cell", "2", "--prompt-format", "raw"});
    INFO(made.err);
    REQUIRE(made.exit_code == 0);
  }

  ProgramResult ablate(std::vector<std::string> more, const std::string& before = "") const {
    std::vector<std::string> arguments = {"ablate",          model,    "--profile", profile,
                                          "--prompt-format", "raw",    "--json",    "--quiet",
                                          "--depths",        "0.3,0.7"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_headscope(arguments, before);
  }
};

}  // namespace

TEST_CASE("ablate shows that the planted head carries the answers", "[cli]") {
  const AblationJob job;
  for (const std::string mode : {"zero", "mean"}) {
    const ProgramResult result =
        job.ablate({"--score", "srh,retrieval", "--top", "1", "--context-lengths", "256",
                    "--needles-per-cell", "2", "--draws", "2", "--mode", mode});
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    const Json json = Json::parse(result.out);
    REQUIRE(json["rows"].size() == 1 + 2 * 5);
    CHECK(json["complete"] == true);
    CHECK(json["num_probes"] == 4);
    CHECK(json["probe_seed"] != json["profile_seed"]);
    for (const Json& row : json["rows"]) {
      INFO(row.dump());
      CHECK(row["accuracy"] == (row["which"] == "top" ? 0.0 : 1.0));
      CHECK(row["ci_low"] <= row["accuracy"]);
      CHECK(row["ci_high"] >= row["accuracy"]);
      if (row["which"] == "top") CHECK(row["heads"] == Json::parse("[[2, 1]]"));
    }
  }
}

TEST_CASE("ablate is reproducible, and another seed asks other probes", "[cli]") {
  const AblationJob job;
  const std::vector<std::string> options = {"--top", "1", "--context-lengths", "256", "--seed"};
  const auto run = [&](const std::string& seed) {
    auto with_seed = options;
    with_seed.push_back(seed);
    Json json = Json::parse(job.ablate(with_seed).out);
    json.erase("seconds");
    return json;
  };
  CHECK(run("5") == run("5"));
  CHECK(run("5")["probe_seed"] != run("6")["probe_seed"]);
}

TEST_CASE("ablate refuses what cannot be checked", "[cli]") {
  const AblationJob job;
  const ProgramResult no_score = job.ablate({"--score", "r9", "--top", "1"});
  CHECK(no_score.exit_code == 2);
  CHECK(no_score.err.find("r9") != std::string::npos);
  const ProgramResult too_many = job.ablate({"--top", "9"});
  CHECK(too_many.exit_code == 2);
  CHECK(too_many.err.find("1 to 8") != std::string::npos);

  headscope::profiler::PlantedModelOptions other;
  other.seed = 3;
  headscope::profiler::write_planted_model(other, job.scratch.file("other"));
  const ProgramResult mismatch =
      run_headscope({"ablate", job.scratch.file("other"), "--profile", job.profile, "--top", "1"});
  CHECK(mismatch.exit_code == 4);
  CHECK(mismatch.err.find("fingerprint") != std::string::npos);

  const ProgramResult dry = job.ablate({"--top", "1", "--dry-run"});
  CHECK(dry.exit_code == 0);
  CHECK(Json::parse(dry.out)["peak_bytes"] > 0);
}

TEST_CASE("an interrupted ablate says how far its table goes", "[cli]") {
  const AblationJob job;
  const ProgramResult stopped = job.ablate(
      {"--top", "1", "--context-lengths", "2048", "--needles-per-cell", "200", "--draws", "20"},
      "timeout --preserve-status -s INT 6");
  INFO(stopped.err);
  CHECK(stopped.exit_code == 130);
  CHECK(stopped.err.find("of 400 probes and is not saved") != std::string::npos);
  if (!stopped.out.empty()) {
    const Json json = Json::parse(stopped.out);
    CHECK(json["complete"] == false);
    CHECK(json["num_probes"] < 400);
  }
}

TEST_CASE("selftest prints a table of ok, and its drill one with exit code 70", "[cli]") {
  const ProgramResult good = run_headscope({"selftest", "--device", "cpu", "--json", "--quiet"});
  INFO(good.err);
  CHECK(good.exit_code == 0);
  const Json json = Json::parse(good.out);
  CHECK(json["rows"].size() > 50);
  for (const Json& row : json["rows"]) {
    INFO(row.dump());
    CHECK(row["ok"] == true);
    CHECK(row["value"].is_number());
    CHECK(row["bound"].is_number());
  }
  const ProgramResult drill = run_headscope({"selftest", "--drill", "--json", "--quiet"});
  CHECK(drill.exit_code == 70);
  CHECK(drill.err.find("checks are not ok") != std::string::npos);
  int64_t failed = 0;
  const Json broken = Json::parse(drill.out);
  for (const Json& row : broken["rows"]) failed += row["ok"] == false;
  CHECK(failed > 10);
  CHECK(run_headscope({"selftest"}).out.find("not ok") == std::string::npos);
}

TEST_CASE("selftest without a place for its models is refused with exit code 2", "[cli]") {
  const ProgramResult result = run_headscope({"selftest"}, "TMPDIR=/nonexistent");
  CHECK(result.exit_code == 2);
  CHECK(result.err.find("TMPDIR") != std::string::npos);
}
