#include "outputs/method_quirks.h"

#include <catch2/catch.hpp>
#include <set>

#include "outputs/plan_file.h"
#include "outputs/plan_json.h"
#include "tests/outputs/samples.h"
#include "tests/support/scratch_folder.h"

namespace headscope::outputs {
namespace {

using testing::ScratchFolder;

std::string complaint(const std::string& setting) {
  MethodQuirks quirks;
  try {
    apply_settings({setting}, "--set", quirks);
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

TEST_CASE("single methods' options survive JSON and HDF5", "[outputs]") {
  const ScratchFolder folder;
  BudgetPlan plan = sample_plan();
  MethodQuirks quirks;
  apply_settings({"group_max=true", "head_floor=0.5", "weigh_heads=1", "heavy_share=0.25",
                  "mean_per_row=true", "entropy_tau=0.8", "variance_tau=0.5", "variance_weight=10",
                  "squared=false", "block_tokens=32", "even_layers=true", "compensation=0"},
                 "test", quirks);
  // All of them, so that one forgotten in a writer shows.
  for (const Quirk& quirk : method_quirks()) {
    CHECK(quirk_value(quirks, quirk) != quirk_value(MethodQuirks{}, quirk));
  }
  plan.selection.quirks = quirks;
  for (const IndexSets sets : {IndexSets::kOwn, IndexSets::kLayer, IndexSets::kKvHead}) {
    plan.selection.index_sets = sets;
    for (const char* name : {"p.json", "p.h5"}) {
      INFO(name);
      write_plan(plan, folder / name, true);
      CHECK(read_plan(folder / name).selection == plan.selection);
    }
  }
}

TEST_CASE("settings are refused where they mean nothing", "[outputs]") {
  CHECK(contains(complaint("head_floor"), "NAME=VALUE"));
  CHECK(contains(complaint("alpha=0.2"), "head_floor"));
  CHECK(contains(complaint("head_floor=1.5"), "0 to 1"));
  CHECK(contains(complaint("head_floor=nan"), "head_floor"));
  CHECK(contains(complaint("head_floor=big"), "a number"));
  CHECK(contains(complaint("block_tokens=0"), "block_tokens"));
  CHECK(contains(complaint("block_tokens=2.5"), "whole"));
  CHECK(contains(complaint("squared=2"), "squared"));
  CHECK(contains(complaint("entropy_tau=0"), "entropy_tau"));
  CHECK(complaint("squared=false").empty());
  CHECK_THROWS_WITH(index_sets_from_name("head", "--index-sets"), Catch::Contains("kv_head"));
}

TEST_CASE("a plan with an option out of range is refused by name", "[outputs]") {
  BudgetPlan plan = sample_plan();
  plan.selection.quirks.heavy_share = 2.0;
  CHECK_THROWS_WITH(check_plan(plan, "p.json"),
                    Catch::Contains("p.json") && Catch::Contains("heavy_share"));
}

}  // namespace
}  // namespace headscope::outputs
