// Layers whose heads do not retrieve, through the program: one layer of a planted model does.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "profiler/planted_model.h"
#include "tests/support/program.h"
#include "tests/support/scratch_folder.h"

namespace headscope::testing {
namespace {

using Json = nlohmann::json;

}  // namespace

TEST_CASE("plan says where all heads choose, and --no-fallback keeps the best four", "[cli]") {
  const ScratchFolder scratch;
  profiler::write_planted_model({.num_query_heads = 8, .num_kv_heads = 4}, scratch.file("model"));
  const ProgramResult measured =
      run_headscope({"profile", scratch.file("model"), "--out", scratch.file("p.h5"),
                     "--context-lengths", "200", "--depths", "0.2,0.5,0.8", "--needles-per-cell",
                     "4", "--prompt-format", "raw", "--scores", "srh", "--quiet"});
  INFO(measured.err);
  REQUIRE(measured.exit_code == 0);
  const auto plan = [&](const std::vector<std::string>& more) {
    std::vector<std::string> words{
        "plan",  scratch.file("p.h5"),      "--method", "uniform", "--budget", "64",
        "--out", scratch.file("plan.json"), "--force",  "--json"};
    words.insert(words.end(), more.begin(), more.end());
    const ProgramResult result = run_headscope(words);
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    return Json::parse(result.out);
  };
  const Json fallen = plan({});
  const Json& heads = fallen["selector_heads"];
  REQUIRE(heads.size() == 4);
  for (const size_t layer : {0UL, 1UL, 3UL}) CHECK(heads[layer].size() == 8);
  CHECK(heads[2].size() == 4);
  CHECK(heads[2][0] == 1);
  CHECK(fallen["lint"].dump().find("no head is known to retrieve in layers 0,1,3") !=
        std::string::npos);
  const Json published = plan({"--no-fallback"});
  for (const Json& layer : published["selector_heads"]) CHECK(layer.size() == 4);
  CHECK(published["lint"].dump().find("known to retrieve") == std::string::npos);
}

}  // namespace headscope::testing
