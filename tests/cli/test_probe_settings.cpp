// --probes PRESET|FILE: presets, files of one's own, and what the command line says over them.
#include <catch2/catch.hpp>
#include <fstream>
#include <nlohmann/json.hpp>

#include "profiler/planted_model.h"
#include "tests/support/program.h"
#include "tests/support/scratch_folder.h"

using headscope::testing::ProgramResult;
using headscope::testing::run_headscope;
using headscope::testing::ScratchFolder;
using Json = nlohmann::json;

namespace {

struct PlantedProbes {
  ScratchFolder scratch;
  std::string model = scratch.file("model");
  std::string profile = scratch.file("profile.h5");

  PlantedProbes() { headscope::profiler::write_planted_model({}, model); }

  std::string write(const std::string& name, const std::string& text) const {
    const std::string path = scratch.file(name);
    std::ofstream(path) << text;
    return path;
  }
  ProgramResult run(std::vector<std::string> more) const {
    std::vector<std::string> arguments{"profile", model, "--out", profile, "--force"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_headscope(arguments);
  }
  // The options that the profile says it was made with.
  Json options(std::vector<std::string> more) const {
    const ProgramResult result = run(std::move(more));
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    const ProgramResult inspected = run_headscope({"inspect", profile, "--json"});
    REQUIRE(inspected.exit_code == 0);
    return Json::parse(inspected.out)["provenance"]["options"];
  }
};

}  // namespace

TEST_CASE("settings come from TOML and from INI, and land in the provenance", "[cli]") {
  const PlantedProbes probes;
  const std::string toml = probes.write("mine.toml",
                                        "# two lengths\n"
                                        "context-lengths = [150, 200]\n"
                                        "depths = [0.25, 0.75]\n"
                                        "families = [\"number\"]\n"
                                        "needles-per-cell = 1\n"
                                        "controls = 0\n");
  const Json from_toml = probes.options({"--probes", toml});
  CHECK(from_toml["context_lengths"] == "150,200");
  CHECK(from_toml["depths"] == "0.25,0.75");
  CHECK(from_toml["families"] == "number");
  CHECK(from_toml["needles_per_cell"] == "1");
  CHECK(from_toml["controls"] == "0");
  CHECK(from_toml["probes"] == toml);
  const std::string ini = probes.write("mine.ini",
                                       "; the same in INI\n"
                                       "context-lengths = 150 200\n"
                                       "depths = 0.25 0.75\n"
                                       "families = number\n"
                                       "needles-per-cell = 1\n"
                                       "controls = 0\n");
  Json from_ini = probes.options({"--probes", ini});
  from_ini["probes"] = toml;
  CHECK(from_ini == from_toml);
}

TEST_CASE("options of the command line win over a preset", "[cli]") {
  const PlantedProbes probes;
  const Json options = probes.options(
      {"--probes", "quick", "--families", "word", "--depths", "0.4", "--context-lengths", "160"});
  CHECK(options["families"] == "word");
  CHECK(options["depths"] == "0.4");
  CHECK(options["context_lengths"] == "160");
  CHECK(options["needles_per_cell"] == "4");  // the preset's
  const Json paper = probes.options({"--probes", "paper-headkv-r2", "--context-lengths", "200",
                                     "--depths", "0.5", "--families", "number"});
  CHECK(paper["context_lengths"] == "200");
  CHECK(paper["num_needles"] == "2");
}

TEST_CASE("the papers' lengths end where the model's positions end, and it is said", "[cli]") {
  const PlantedProbes probes;
  const ProgramResult result = probes.run({"--probes", "paper-headkv-r", "--dry-run"});
  CHECK(result.exit_code == 0);
  CHECK(result.err.find("4032 tokens instead of 10000") != std::string::npos);
}

TEST_CASE("settings that cannot be read are refused with what there is", "[cli]") {
  const PlantedProbes probes;
  const auto refused = [&](const std::string& what, const std::vector<std::string>& mentions) {
    const ProgramResult result = probes.run({"--probes", what});
    CHECK(result.exit_code == 2);
    for (const std::string& text : mentions) {
      INFO(text << " in: " << result.err);
      CHECK(result.err.find(text) != std::string::npos);
    }
  };
  refused("slow", {"slow", "quick", "paper-compresskv"});
  refused(probes.write("a.toml", "depth = [0.5]\n"), {"\"depth\"", "depths", "needles-per-cell"});
  refused(probes.write("b.toml", "[probes]\ndepths = [0.5]\n"), {"probes.depths"});
  refused(probes.write("c.toml", "probes = \"quick\"\n"), {"\"probes\""});
  refused(probes.write("d.toml", "depths = [\"deep\"]\n"), {"depths", "deep"});
  refused(probes.write("e.toml", "questions = \"rude\"\n"), {"questions", "rude"});
  refused(probes.write("f.toml", "families = [\"riddles\"]\n"), {"riddles", "multi-key"});
}
