#include <catch2/catch.hpp>
#include <map>
#include <string>

#include "outputs/input_error.h"
#include "profiler/rank_place.h"

namespace headscope::testing {
namespace {

using profiler::RankPlace;
using Setting = std::map<std::string, std::string>;

RankPlace place_of(const Setting& setting) {
  return profiler::rank_place([&](const char* name) -> const char* {
    const auto found = setting.find(name);
    return found == setting.end() ? nullptr : found->second.c_str();
  });
}

Setting of_torchrun() {
  return {{"RANK", "5"},
          {"WORLD_SIZE", "8"},
          {"LOCAL_RANK", "1"},
          {"MASTER_ADDR", "node0"},
          {"MASTER_PORT", "29500"},
          {"TORCHELASTIC_USE_AGENT_STORE", "True"},
          {"TORCHELASTIC_RESTART_COUNT", "2"},
          {"TORCHELASTIC_RUN_ID", "job7"}};
}

}  // namespace

TEST_CASE("a process without a launcher is alone", "[profiler]") {
  for (const Setting& setting :
       {Setting{}, Setting{{"WORLD_SIZE", "1"}}, Setting{{"WORLD_SIZE", "1"}, {"RANK", "0"}},
        Setting{{"MASTER_ADDR", "node0"}, {"MASTER_PORT", "1"}}, Setting{{"WORLD_SIZE", ""}}}) {
    const RankPlace place = place_of(setting);
    CHECK(place.rank == 0);
    CHECK(place.size == 1);
    CHECK_FALSE(place.restarted);
  }
}

TEST_CASE("what torchrun sets is read", "[profiler]") {
  Setting setting = of_torchrun();
  const RankPlace place = place_of(setting);
  CHECK(place.rank == 5);
  CHECK(place.size == 8);
  CHECK(place.local_rank == 1);
  CHECK(place.host == "node0");
  CHECK(place.port == 29500);
  CHECK(place.launcher_hosts);
  CHECK(place.restarted);
  CHECK(place.run_id == "job7");
  setting["TORCHELASTIC_USE_AGENT_STORE"] = "False";
  setting["TORCHELASTIC_RESTART_COUNT"] = "0";
  CHECK_FALSE(place_of(setting).launcher_hosts);
  CHECK_FALSE(place_of(setting).restarted);
}

TEST_CASE("an environment that is set by halves or wrongly is refused by name", "[profiler]") {
  const auto refused = [](const std::string& name, const std::string& value,
                          const std::string& expected) {
    Setting setting = of_torchrun();
    setting[name] = value;
    INFO(name << " = " << value);
    CHECK_THROWS_AS(place_of(setting), InputError);
    CHECK_THROWS_WITH(place_of(setting), Catch::Contains(name) && Catch::Contains(expected));
  };
  refused("RANK", "", "no RANK");
  refused("WORLD_SIZE", "", "no WORLD_SIZE");
  refused("MASTER_ADDR", "", "no MASTER_ADDR");
  refused("MASTER_PORT", "", "no MASTER_PORT");
  refused("RANK", "8", "0 to 7");
  refused("RANK", "-1", "0 to 7");
  refused("RANK", "two", "\"two\"");
  refused("WORLD_SIZE", "0", "\"0\"");
  refused("MASTER_PORT", "70000", "65535");
  refused("LOCAL_RANK", "1x", "\"1x\"");
  CHECK_THROWS_WITH(place_of({{"WORLD_SIZE", "2"}}),
                    Catch::Contains("no RANK") && Catch::Contains("torchrun"));
}

}  // namespace headscope::testing
