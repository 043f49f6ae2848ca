// Further turns, eviction that goes on, the drift check, methods' settings and `tune` through the
// program, on a planted model whose retrieval head is layer 2, head 1.
#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "profiler/planted_model.h"
#include "tests/support/program.h"
#include "tests/support/scratch_folder.h"

using headscope::testing::ProgramResult;
using headscope::testing::run_headscope;
using headscope::testing::ScratchFolder;
using Json = nlohmann::json;

namespace {

const std::string kPrompt = std::string(200, 'x') + "the code is 4711." + std::string(200, 'y');

struct GenerateJob {
  ScratchFolder scratch;
  std::string model = scratch.file("model");

  GenerateJob() { headscope::profiler::write_planted_model({}, model); }

  ProgramResult run(std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), {"--json", "--quiet"});
    return run_headscope(arguments);
  }
  ProgramResult generate(const std::vector<std::string>& more) const {
    std::vector<std::string> arguments = {"generate",         model, "--prompt", kPrompt,
                                          "--max-new-tokens", "40"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  }
  Json generated(const std::vector<std::string>& more) const {
    const ProgramResult result = generate(more);
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    return Json::parse(result.out);
  }
  std::string profile() const {
    const std::string path = scratch.file("p.h5");
    const ProgramResult made =
        run({"profile", model, "--out", path, "--context-lengths", "256", "--depths", "0.2,0.8",
             "--needles-per-cell", "2", "--prompt-format", "raw"});
    INFO(made.err);
    REQUIRE(made.exit_code == 0);
    return path;
  }
  // Needles of 256 tokens at 48 tokens per KV head, one window.
  std::vector<std::string> tune_command(const std::string& of, const std::string& plan) const {
    return {"tune",
            model,
            "--profile",
            of,
            "--budget",
            "48",
            "--tasks",
            "needle",
            "--context-length",
            "256",
            "--windows",
            "8",
            "--prompt-format",
            "raw",
            "--out",
            plan};
  }
};

const std::vector<std::string> kSnapKv = {"--method", "snapkv", "--budget", "64"};

std::vector<std::string> snapkv_and(const std::vector<std::string>& more) {
  std::vector<std::string> all = kSnapKv;
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

}  // namespace

TEST_CASE("a turn is answered on the cache that the first one left", "[cli]") {
  const GenerateJob job;
  const Json one = job.generated(kSnapKv);
  CHECK_FALSE(one.contains("turns"));
  const Json two = job.generated(snapkv_and({"--turn", "and then?", "--turn", "and last?"}));
  CHECK(two["generated_ids"] == one["generated_ids"]);
  REQUIRE(two["turns"].size() == 2);
  CHECK(two["turns"][0]["prompt_tokens"].get<int64_t>() > 0);
  // What the turns add stays; what the first question let go does not come back.
  CHECK(two["kv_bytes_held"].get<int64_t>() > one["kv_bytes_held"].get<int64_t>());
  CHECK(two["kv_bytes_held"].get<int64_t>() < two["kv_bytes_full"].get<int64_t>());
  const ProgramResult of_tokens = job.run(
      {"generate", job.model, "--tokens", job.scratch.file("none.json"), "--turn", "and then?"});
  CHECK(of_tokens.exit_code == 2);
  CHECK(of_tokens.err.find("--turn") != std::string::npos);
}

TEST_CASE("eviction goes on while tokens are generated and at the end of turns", "[cli]") {
  const GenerateJob job;
  const std::vector<std::string> turns = {"--turn", std::string(90, 'z')};
  const auto held = [&](std::vector<std::string> more) {
    more.insert(more.end(), turns.begin(), turns.end());
    return job.generated(snapkv_and(more))["kv_bytes_held"].get<int64_t>();
  };
  const int64_t never = held({});
  CHECK(held({"--decode-budget", "16"}) < never);
  CHECK(held({"--compress-turns"}) < never);
  for (const char* option : {"--decode-budget", "--prefill-tokens"}) {
    const ProgramResult result = job.generate({option, "16"});
    CHECK(result.exit_code == 2);
    CHECK(result.err.find(option) != std::string::npos);
  }
}

TEST_CASE("eviction while the prompt is read leaves what the budget says", "[cli]") {
  const GenerateJob job;
  const Json late = job.generated(kSnapKv);
  const Json early = job.generated(snapkv_and({"--prefill-tokens", "128"}));
  CHECK(early["kv_bytes_held"] == late["kv_bytes_held"]);
  // h2o judges by the whole prompt, which is no longer there.
  const ProgramResult h2o =
      job.generate({"--method", "h2o", "--budget", "64", "--prefill-tokens", "128"});
  CHECK(h2o.exit_code == 2);
  CHECK(h2o.err.find("h2o") != std::string::npos);
}

TEST_CASE("the drift check states the kept mass, and falls back where it is told to", "[cli]") {
  const GenerateJob job;
  CHECK_FALSE(job.generated(kSnapKv).contains("drift"));
  const Json calm = job.generated(snapkv_and({"--drift-check", "--drift-threshold", "0"}))["drift"];
  CHECK(calm["drifted"] == false);
  CHECK(calm["window"].get<double>() > 0.0);
  CHECK(calm["window"].get<double>() <= 1.0);
  CHECK(calm["window_by_layer"].size() == 4);
  CHECK(calm["sentinels"].size() == 4);
  // The profile's retrieval head is the planted one.
  const Json watched = job.generated(
      snapkv_and({"--drift-check", "--drift-sentinels", "1", "--profile", job.profile()}));
  CHECK(watched["drift"]["sentinels"] == Json::parse("[[2, 1]]"));
  const Json drifted = job.generated(
      {"--method", "streaming", "--budget", "16", "--drift-check", "--drift-threshold", "1"});
  CHECK(drifted["drift"]["drifted"] == true);
  CHECK(drifted["drift"]["fell_back"] == false);
  const Json back = job.generated({"--method", "streaming", "--budget", "16", "--drift-check",
                                   "--drift-threshold", "1", "--drift-fallback", "4"});
  CHECK(back["drift"]["fell_back"] == true);
  CHECK(back["kv_bytes_held"].get<int64_t>() > drifted["kv_bytes_held"].get<int64_t>());
  const ProgramResult alone = job.generate(snapkv_and({"--drift-fallback", "2"}));
  CHECK(alone.exit_code == 2);
  CHECK(alone.err.find("--drift-check") != std::string::npos);
}

TEST_CASE("options of single methods and index sets change what is kept", "[cli]") {
  const GenerateJob job;
  const auto kept = [&](const std::vector<std::string>& more) {
    const std::string out = job.scratch.file("kept.h5");
    std::vector<std::string> all = {"--save-retained", out, "--force"};
    all.insert(all.end(), more.begin(), more.end());
    static_cast<void>(job.generated(all));
    const ProgramResult inspected = job.run({"inspect", out});
    INFO(inspected.err);
    REQUIRE(inspected.exit_code == 0);
    std::string bytes = headscope::testing::read_text(out);
    return bytes;
  };
  const std::string own = kept({"--method", "h2o", "--budget", "64"});
  CHECK(kept({"--method", "h2o", "--budget", "64"}) == own);
  CHECK(kept({"--method", "h2o", "--budget", "64", "--set", "heavy_share=0.9"}) != own);
  CHECK(kept(snapkv_and({"--index-sets", "layer"})) != kept(kSnapKv));
  CHECK(kept(snapkv_and({"--published-settings"})) != kept(kSnapKv));
  const ProgramResult unknown = job.generate(snapkv_and({"--set", "heavy_sharing=0.9"}));
  CHECK(unknown.exit_code == 2);
  CHECK(unknown.err.find("heavy_share") != std::string::npos);
}

TEST_CASE("tune tries settings at equal bytes and writes the best as a plan", "[cli]") {
  const GenerateJob job;
  const std::string profile = job.profile();
  const std::string plan = job.scratch.file("plan.json");
  std::vector<std::string> command = job.tune_command(profile, plan);
  command.insert(command.end(), {"--samples", "2", "--selectors", "srh:1,all", "--pooling-kernels",
                                 "5,9", "--allocators", "uniform"});
  const ProgramResult result = job.run(command);
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  const Json tuned = Json::parse(result.out);
  REQUIRE(tuned["trials"].size() == 4);
  for (const Json& trial : tuned["trials"]) {
    CHECK(trial["kv_bytes"] == tuned["trials"][0]["kv_bytes"]);
    CHECK(trial["accuracy"].get<double>() <= tuned["best"]["accuracy"].get<double>());
  }
  CHECK(tuned["plan"]["format"] == "headscope.plan");
  CHECK(job.generated({"--plan", plan})["kv_bytes_held"].get<int64_t>() <
        job.generated({})["kv_bytes_held"].get<int64_t>());
  // What is there is kept: refused, or with --resume complete.
  CHECK(job.run(command).exit_code == 2);
  std::vector<std::string> again = command;
  again.emplace_back("--resume");
  CHECK(job.run(again).exit_code == 0);
}

TEST_CASE("tune judges selectors under budgets by error curves where the profile has them",
          "[cli]") {
  const GenerateJob job;
  const std::string profile = job.profile();
  const auto first_allocator = [&](const std::string& out) -> std::string {
    std::vector<std::string> command = job.tune_command(profile, job.scratch.file(out));
    command.insert(command.end(),
                   {"--samples", "1", "--selectors", "srh:1", "--pooling-kernels", "5"});
    const ProgramResult result = job.run(command);
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    const Json tuned = Json::parse(result.out);
    CHECK(tuned["trials"].size() >= 3);
    return tuned["trials"][0]["options"]["allocator"];
  };
  CHECK(first_allocator("without.json") == "uniform");
  const ProgramResult calibrated =
      job.run({"calibrate", job.model, "--profile", profile, "--tasks", "needle", "--samples", "1",
               "--context-length", "256", "--prompt-format", "raw"});
  INFO(calibrated.err);
  REQUIRE(calibrated.exit_code == 0);
  CHECK(first_allocator("with.json") == "curve");
}
