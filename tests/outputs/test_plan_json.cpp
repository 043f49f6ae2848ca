#include "outputs/plan_json.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "outputs/atomic_file.h"
#include "outputs/plan_file.h"
#include "tests/outputs/samples.h"
#include "tests/support/scratch_folder.h"

namespace headscope::outputs {
namespace {

using nlohmann::json;
using testing::ScratchFolder;

// Format version 1.0 as it was first written. Never edit it: old plans stay readable.
constexpr const char* kGoldenPlan = R"({
  "format": "headscope.plan",
  "format_version": "1.0",
  "model": {
    "name": "tiny-llama",
    "fingerprint": "aaaa",
    "architecture": "llama",
    "num_layers": 2,
    "num_query_heads": 4,
    "num_kv_heads": 2,
    "head_dim": 8,
    "hidden_size": 32,
    "vocab_size": 128,
    "max_positions": 4096,
    "attention_window": []
  },
  "method": "snapkv",
  "options": {
    "allocator": "uniform",
    "observation_window": 16,
    "pooling": "average",
    "pooling_kernel": 5,
    "num_sink_tokens": 0
  },
  "budget_tokens": [
    [64, 64],
    [128, 32]
  ],
  "selector_heads": [
    [3, 1],
    [0, 2]
  ],
  "provenance": {
    "tool_version": "headscope 0.1.0",
    "command": "headscope plan",
    "options": {
      "budget": "64"
    },
    "seed": 1,
    "device": "cpu",
    "dtype": "float32",
    "started": "2026-01-01T00:00:00Z",
    "seconds": 0.5
  },
  "lint": {
    "context_length": 0,
    "nominal_tokens": 288,
    "usable_tokens": 288,
    "smallest_budget": 32,
    "largest_budget": 128,
    "notes": []
  }
}
)";

void check_equal(const BudgetPlan& found, const BudgetPlan& expected) {
  CHECK(found.model.name == expected.model.name);
  CHECK(found.model.fingerprint == expected.model.fingerprint);
  CHECK(found.model.shape == expected.model.shape);
  CHECK(found.method == expected.method);
  CHECK(found.allocator == expected.allocator);
  CHECK(found.selection == expected.selection);
  CHECK(found.budget_tokens == expected.budget_tokens);
  CHECK(found.selector_heads == expected.selector_heads);
  CHECK(found.provenance.command == expected.provenance.command);
  CHECK(found.provenance.options == expected.provenance.options);
  CHECK(found.provenance.seed == expected.provenance.seed);
  CHECK(found.provenance.seconds == expected.provenance.seconds);
  CHECK(found.lint.notes == expected.lint.notes);
  CHECK(found.lint.largest_budget == expected.lint.largest_budget);
  CHECK(found.lint.bytes_per_token == expected.lint.bytes_per_token);
  CHECK(found.lint.smallest_head == expected.lint.smallest_head);
  CHECK(found.lint.largest_head == expected.lint.largest_head);
  CHECK(found.lint.contexts == expected.lint.contexts);
}

// The complaint about the golden plan with the value at `pointer` replaced.
std::string complaint_about(const std::string& pointer, const json& value) {
  json plan = json::parse(kGoldenPlan);
  plan[json::json_pointer(pointer)] = value;
  return complaint([&] { static_cast<void>(plan_from_json(plan.dump(), "p.json")); });
}

}  // namespace

TEST_CASE("a plan of format version 1.0 is read as ever, and all of it is written back",
          "[outputs]") {
  const BudgetPlan plan = plan_from_json(kGoldenPlan, "golden");
  CHECK(plan.method == "snapkv");
  CHECK(plan.allocator == "uniform");
  CHECK(plan.selection.observation_window == 16);
  CHECK(plan.budget_tokens == std::vector<std::vector<int64_t>>{{64, 64}, {128, 32}});
  CHECK(plan.selector_heads == std::vector<std::vector<int64_t>>{{3, 1}, {0, 2}});
  CHECK(plan.lint.contexts.empty());
  // Laid over what is written today, the old text changes nothing but the version.
  json written = json::parse(plan_to_json(plan));
  CHECK(written["format_version"] == "1.2");
  written["format_version"] = "1.0";
  json patched = written;
  patched.merge_patch(json::parse(kGoldenPlan));
  CHECK(patched == written);
}

TEST_CASE("a plan survives JSON and HDF5", "[outputs]") {
  const ScratchFolder folder;
  BudgetPlan plan = sample_plan();
  for (const char* name : {"p.json", "p.h5", "q.HDF5"}) {
    INFO(name);
    write_plan(plan, folder / name, false);
    check_equal(read_plan(folder / name), plan);
  }
  plan.selector_heads.clear();
  plan.lint.notes.clear();
  write_plan(plan, folder / "empty.h5", false);
  check_equal(read_plan(folder / "empty.h5"), plan);
  check_equal(plan_from_json(plan_to_json(plan), "text"), plan);
}

TEST_CASE("layers may have different numbers of selector heads", "[outputs]") {
  const ScratchFolder folder;
  BudgetPlan plan = sample_plan();
  plan.selector_heads = {{3}, {0, 2, 1, 3}, {1, 0}};
  for (const char* name : {"p.json", "p.h5"}) {
    INFO(name);
    write_plan(plan, folder / name, false);
    check_equal(read_plan(folder / name), plan);
  }
}

TEST_CASE("the lint states sizes in bytes", "[outputs]") {
  const json lint = json::parse(plan_to_json(sample_plan()))["lint"];
  CHECK(lint["nominal_bytes"] == 336 * 64);
  CHECK(lint["contexts"][1]["usable_bytes"] == 272 * 64);
  CHECK(lint["contexts"][1]["wasted_tokens"] == 64);
  CHECK(lint["largest_head"] == json({2, 1}));
}

TEST_CASE("every truncation of a plan is refused", "[outputs]") {
  const std::string text = kGoldenPlan;
  for (size_t length = 0; length + 2 < text.size(); ++length) {
    INFO("length " << length);
    const std::string part = text.substr(0, length);
    REQUIRE_THROWS_AS(plan_from_json(part, "p.json"), InputError);
  }
}

TEST_CASE("bytes after a plan are refused", "[outputs]") {
  for (const char* extra : {"x", "{}", "0", "\x00z"}) {
    CHECK_THROWS_AS(plan_from_json(kGoldenPlan + std::string(extra, 1), "p.json"), InputError);
  }
}

TEST_CASE("a plan of another format or a newer version is refused, a newer minor is read",
          "[outputs]") {
  CHECK(contains(complaint_about("/format", "headscope.profile"), "format"));
  const std::string newer = complaint_about("/format_version", "2.0");
  CHECK(contains(newer, "format_version"));
  CHECK(contains(newer, "newer headscope"));
  CHECK(contains(complaint_about("/format_version", "one"), "format_version"));
  CHECK(contains(complaint_about("/format_version", 1), "format_version"));
  CHECK(contains(complaint_about("/format_version", "0.9"), "format_version"));
  CHECK(complaint_about("/format_version", "1.7").empty());
}

TEST_CASE("a plan whose fields disagree is refused by name", "[outputs]") {
  const auto names = [](const std::string& pointer, const json& value, const std::string& field) {
    INFO(pointer << " = " << value.dump());
    const std::string message = complaint_about(pointer, value);
    INFO("message: " << message);
    CHECK(contains(message, "p.json"));
    CHECK(contains(message, field));
  };
  names("/budget_tokens", {{64, 64}}, "budget_tokens");
  names("/budget_tokens/1", {64}, "budget_tokens[1]");
  names("/budget_tokens/1/0", -1, "budget_tokens[1]");
  names("/budget_tokens/1/0", 1.5, "budget_tokens[1][0]");
  names("/budget_tokens/1/0", "64", "budget_tokens[1][0]");
  names("/budget_tokens/1/0", uint64_t{1} << 63, "budget_tokens[1][0]");
  names("/budget_tokens/1/0", int64_t{1} << 62, "budget_tokens[1]");
  names("/budget_tokens", 7, "budget_tokens");
  names("/selector_heads/0", {3, 4}, "selector_heads[0]");
  names("/selector_heads/0", {-1, 0}, "selector_heads[0]");
  names("/selector_heads/0", {3, 3}, "head 3 twice");
  names("/selector_heads/1", json::array(), "selector_heads[1]");
  names("/selector_heads", {{3, 1}}, "selector_heads");
  names("/model/num_layers", 3, "budget_tokens");
  names("/model/num_layers", 0, "num_layers");
  names("/model/num_layers", int64_t{1} << 40, "num_layers");
  names("/model/num_kv_heads", 3, "num_kv_heads");
  names("/model/fingerprint", nullptr, "fingerprint");
  names("/model/attention_window", {1}, "attention_window");
  names("/model", json::array(), "model");
  names("/method", "", "method");
  names("/method", 3, "method");
  names("/options/pooling", "median", "pooling");
  names("/options/pooling_kernel", 4, "pooling_kernel");
  names("/options/observation_window", -1, "observation_window");
  names("/options/num_sink_tokens", true, "num_sink_tokens");
  names("/provenance/seed", -1, "seed");
  names("/lint/notes", "none", "notes");
  names("/lint/smallest_head", {1}, "smallest_head");
  names("/lint/bytes_per_token", -1, "bytes_per_token");
  names("/lint/contexts", {{{"context_length", 64}}}, "usable_tokens");
}

TEST_CASE("a plan without a field is refused by the field's name", "[outputs]") {
  for (const char* field : {"format", "format_version", "model", "method", "options",
                            "budget_tokens", "selector_heads"}) {
    json plan = json::parse(kGoldenPlan);
    plan.erase(field);
    const std::string message =
        complaint([&] { static_cast<void>(plan_from_json(plan.dump(), "p.json")); });
    INFO(field << ": " << message);
    CHECK(contains(message, "'" + std::string(field) + "'"));
  }
}

TEST_CASE("a key given twice is refused", "[outputs]") {
  std::string text = kGoldenPlan;
  text.insert(text.find("\"method\""), "\"method\": \"full\", ");
  CHECK(contains(complaint([&] { static_cast<void>(plan_from_json(text, "p.json")); }),
                 "'method' twice"));
}

TEST_CASE("a plan that its reader would refuse is not written", "[outputs]") {
  const ScratchFolder folder;
  BudgetPlan plan = sample_plan();
  plan.budget_tokens[0][0] = -5;
  CHECK_THROWS_AS(write_plan(plan, folder / "p.json", false), std::invalid_argument);
  CHECK_THROWS_AS(write_plan(plan, folder / "p.h5", false), std::invalid_argument);
  CHECK(folder.names().size() == 0);
}

TEST_CASE("a plan fits its own model, another checkpoint by force, another shape never",
          "[outputs]") {
  const BudgetPlan plan = sample_plan();
  const ModelShape& shape = plan.model.shape;
  CHECK_NOTHROW(check_plan_fits(plan, plan.model.fingerprint, shape, false));
  CHECK_THROWS_AS(check_plan_fits(plan, "other", shape, false), ModelMismatch);
  CHECK_NOTHROW(check_plan_fits(plan, "other", shape, true));
  for (int64_t ModelShape::*field : {&ModelShape::num_layers, &ModelShape::num_query_heads,
                                     &ModelShape::num_kv_heads, &ModelShape::head_dim}) {
    ModelShape other = shape;
    other.*field *= 2;
    CHECK_THROWS_AS(check_plan_fits(plan, plan.model.fingerprint, other, true), ModelMismatch);
  }
}

}  // namespace headscope::outputs
