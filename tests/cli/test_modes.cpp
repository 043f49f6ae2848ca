// `profile --mode shared` through the program.
#include <algorithm>
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

struct Planted {
  ScratchFolder scratch;
  std::string model = scratch.file("model");
  std::string profile = scratch.file("p.h5");
  Planted() { headscope::profiler::write_planted_model({}, model); }

  // What `more` does not say is filled in.
  [[nodiscard]] ProgramResult run(const std::vector<std::string>& more) const {
    std::vector<std::string> arguments{"profile", model, "--quiet"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    for (const auto& [option, value] :
         std::vector<std::pair<std::string, std::string>>{{"--out", profile},
                                                          {"--context-lengths", "500"},
                                                          {"--depths", "0.2,0.8"},
                                                          {"--needles-per-cell", "3"}}) {
      if (std::find(more.begin(), more.end(), option) != more.end()) continue;
      arguments.push_back(option);
      arguments.push_back(value);
    }
    return run_headscope(arguments);
  }
};

Json parsed(const ProgramResult& result) {
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  return Json::parse(result.out);
}

}  // namespace

TEST_CASE("shared mode finds the planted head and states its agreement with exact", "[cli]") {
  const Planted planted;
  const Json json = parsed(planted.run({"--mode", "shared", "--json"}));
  CHECK(json["mode"] == "shared");
  CHECK(json["num_probes"] == 6);
  CHECK(json["scores"]["srh"]["top_heads"][0][0] == 2);
  CHECK(json["scores"]["srh"]["top_heads"][0][1] == 1);
  const Json& agreement = json.at("mode_agreement");
  CHECK(agreement["num_probes"] == 4);
  CHECK(agreement["num_successful"] == 4);
  CHECK(agreement["scores"]["srh"]["spearman"].get<double>() > 0.5);
  CHECK(agreement["scores"]["srh"]["num_probes"] == 4);

  const Json stored = parsed(run_headscope({"inspect", planted.profile, "--json"}));
  CHECK(stored["provenance"]["options"]["mode"] == "shared");
  CHECK(stored.at("mode_agreement") == agreement);
  const std::string text = run_headscope({"inspect", planted.profile}).out;
  CHECK(text.find("another experiment") != std::string::npos);
  CHECK(text.find("rank correlation of heads to exact mode") != std::string::npos);
}

TEST_CASE("the comparison with exact mode can be left out", "[cli]") {
  const Planted planted;
  const ProgramResult result = planted.run({"--mode", "shared", "--compare-exact", "0"});
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  CHECK(result.out.find("was not measured") != std::string::npos);
  CHECK_FALSE(
      parsed(run_headscope({"inspect", planted.profile, "--json"})).contains("mode_agreement"));
}

TEST_CASE("exact mode is the default and says no more of itself than its name", "[cli]") {
  const Planted planted;
  const Json json = parsed(planted.run({"--json"}));
  CHECK(json["mode"] == "exact");
  CHECK_FALSE(json.contains("mode_agreement"));
  CHECK(run_headscope({"inspect", planted.profile}).out.find("another experiment") ==
        std::string::npos);
}

TEST_CASE("profiles of different modes are not put together", "[cli]") {
  const Planted planted;
  const std::string shared = planted.scratch.file("shared.h5");
  parsed(planted.run({"--json"}));
  parsed(planted.run({"--json", "--mode", "shared", "--compare-exact", "0", "--out", shared}));
  const ProgramResult merged =
      run_headscope({"merge", planted.profile, shared, "--out", planted.scratch.file("both.h5")});
  CHECK(merged.exit_code == 2);
  CHECK(merged.err.find("mode") != std::string::npos);
}

TEST_CASE("a dry run of shared mode is told shorter than one of exact mode", "[cli]") {
  const Planted planted;
  const auto seconds = [&](const char* mode) {
    return parsed(planted.run(
        {"--json", "--dry-run", "--needles-per-cell", "50", "--mode", mode}))["seconds"]
        .get<double>();
  };
  CHECK(seconds("shared") < 0.5 * seconds("exact"));
}

TEST_CASE("a share of needles that leaves no haystack is refused", "[cli]") {
  const Planted planted;
  const ProgramResult result = planted.run({"--mode", "shared", "--needle-share", "1.0"});
  CHECK(result.exit_code == 2);
  CHECK(result.err.find("--needle-share") != std::string::npos);
}
