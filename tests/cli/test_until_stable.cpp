// profile --until-stable through the program, on a planted model.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "profiler/planted_model.h"
#include "tests/support/profile_bytes.h"
#include "tests/support/program.h"
#include "tests/support/scratch_folder.h"

namespace headscope::testing {
namespace {

using Json = nlohmann::json;
using Words = std::vector<std::string>;

struct OpenEnded {
  ScratchFolder scratch;
  std::string model = scratch.file("model");

  // Of eight heads the top tenth is one, the planted one.
  OpenEnded() { profiler::write_planted_model({.num_query_heads = 2, .num_kv_heads = 1}, model); }

  ProgramResult run(const std::string& out, const Words& more) const {
    Words words{"profile",           model, "--out",         scratch.file(out),
                "--context-lengths", "256", "--depths",      "0.2,0.5,0.8",
                "--prompt-format",   "raw", "--scores",      "srh",
                "--threads",         "1",   "--until-stable"};
    words.insert(words.end(), more.begin(), more.end());
    return run_headscope(words);
  }
};

}  // namespace

TEST_CASE("an open-ended profile stops when its top heads stay, and says how sure it is", "[cli]") {
  const OpenEnded job;
  const ProgramResult result = job.run("p.h5", {"--max-probes", "120", "--json", "--quiet"});
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  const Json said = Json::parse(result.out);
  const Json& stop = said["stability"]["until_stable"];
  CHECK(stop["stopped"] == true);
  CHECK(stop["score"] == "srh");
  CHECK(stop["confidence"].get<double>() >= 0.9);
  CHECK(stop["reason"].get<std::string>().find("a repetition would find") != std::string::npos);
  CHECK(said["num_probes"].get<int64_t>() < 80);
  CHECK(said["num_probes"].get<int64_t>() >= 24);

  // Anybody who reads the file is told the same.
  const ProgramResult inspected = run_headscope({"inspect", job.scratch.file("p.h5"), "--json"});
  CHECK(Json::parse(inspected.out)["trust"]["until_stable"]["reason"] == stop["reason"]);
  const ProgramResult text = run_headscope({"inspect", job.scratch.file("p.h5")});
  CHECK(text.out.find("stable: " + stop["reason"].get<std::string>()) != std::string::npos);
}

TEST_CASE("an open-ended profile that is not stable ends at its most probes", "[cli]") {
  const OpenEnded job;
  const ProgramResult result = job.run("p.h5", {"--max-probes", "20", "--json", "--quiet"});
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  const Json said = Json::parse(result.out);
  CHECK(said["stability"]["until_stable"]["stopped"] == false);
  CHECK(said["stability"]["until_stable"]["reason"].get<std::string>().find("too early") !=
        std::string::npos);
  CHECK(said["num_probes"].get<int64_t>() + said["trust"]["num_controls"].get<int64_t>() == 20);
  const ProgramResult text = run_headscope({"inspect", job.scratch.file("p.h5")});
  CHECK(text.out.find("not stable") != std::string::npos);
}

TEST_CASE("the options of an open-ended run are refused without it", "[cli]") {
  for (const char* option : {"--max-probes", "--stable-overlap", "--stable-confidence"}) {
    const ProgramResult result =
        run_headscope({"profile", "nowhere", "--out", "p.h5", option, "1"});
    CHECK(result.exit_code == 2);
    CHECK_THAT(result.err, Catch::Contains(option) && Catch::Contains("--until-stable"));
  }
}

}  // namespace headscope::testing
