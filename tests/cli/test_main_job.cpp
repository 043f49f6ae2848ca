// The main job through the program, on a planted model whose retrieval head is layer 2, head 1.
#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "profiler/planted_model.h"
#include "tests/support/child_process.h"
#include "tests/support/program.h"
#include "tests/support/scratch_folder.h"

using headscope::testing::ChildProcess;
using headscope::testing::program_path;
using headscope::testing::ProgramResult;
using headscope::testing::run_headscope;
using headscope::testing::ScratchFolder;
using Json = nlohmann::json;

namespace {

// Runs with --json and returns the one object on stdout.
Json json_of(std::vector<std::string> arguments) {
  arguments.push_back("--json");
  arguments.push_back("--quiet");
  const ProgramResult result = run_headscope(arguments);
  INFO(arguments[0] << ": " << result.err);
  REQUIRE(result.exit_code == 0);
  return Json::parse(result.out);
}

struct PlantedJob {
  ScratchFolder scratch;
  std::string model = scratch.file("model");
  std::string profile = scratch.file("profile.h5");
  std::string plan = scratch.file("plan.json");

  PlantedJob() { headscope::profiler::write_planted_model({}, model); }

  Json make_profile() {
    return json_of({"profile", model, "--out", profile, "--context-lengths", "256", "--depths",
                    "0.2,0.8", "--needles-per-cell", "2", "--prompt-format", "raw"});
  }
  Json calibrate() {
    return json_of({"calibrate", model, "--profile", profile, "--samples", "1", "--context-length",
                    "512", "--max-answer-tokens", "4", "--budgets", "8,64,128"});
  }
};

}  // namespace

TEST_CASE("inspect states the shape of a model and its fingerprint", "[cli]") {
  const PlantedJob job;
  const Json model = json_of({"inspect", job.model});
  CHECK(model["architecture"] == "llama");
  CHECK(model["num_layers"] == 4);
  CHECK(model["num_query_heads"] == 4);
  CHECK(model["num_kv_heads"] == 2);
  CHECK(model["head_dim"] == 32);
  CHECK(model["kv_bytes_per_token"] == 2 * 4 * 2 * 32 * 2);
  CHECK(model["fingerprint"].get<std::string>().size() == 64);
}

TEST_CASE("tokenize and --decode are inverse", "[cli]") {
  const PlantedJob job;
  const Json ids = json_of({"tokenize", job.model, "--text", "The gate is open."});
  headscope::testing::write_text(job.scratch.file("ids.json"), ids["ids"].dump());
  const Json text =
      json_of({"tokenize", job.model, "--decode", job.scratch.file("ids.json"), "--no-special"});
  CHECK(text["text"] == "The gate is open.");
}

TEST_CASE("profile, calibrate, plan, generate and evaluate work hand in hand", "[cli]") {
  PlantedJob job;
  const Json profile = job.make_profile();
  CHECK(profile["num_probes"] == 4);
  CHECK(profile["num_successful"] == 4);
  for (const std::string score : {"srh", "srh_paper", "srh_code", "retrieval", "r2"}) {
    INFO(score);
    const Json& best = profile["scores"][score]["top_heads"];
    CHECK(best.size() == 16);
    CHECK(best[0][0] == 2);
    CHECK(best[0][1] == 1);
  }
  CHECK(profile["stability"].contains("srh"));
  CHECK(profile["stability"]["srh"]["num_probes"] == 4);
  CHECK(profile["trust"]["verdict"]["model_retrieves"] == true);
  CHECK(profile["trust"]["selected_heads"]["heads"][0]["head"] == 1);

  const Json curves = job.calibrate();
  CHECK(curves["budgets"] == Json({8, 32, 64, 128}));  // 32 is always among them
  REQUIRE(curves["layer_error"].size() == 4);
  CHECK(curves["tasks"].size() >= 5);

  const Json plan =
      json_of({"plan", job.profile, "--method", "compresskv", "--budget", "64", "--out", job.plan});
  CHECK(plan["format"] == "headscope.plan");
  int64_t total = 0;
  for (const Json& layer : plan["budget_tokens"]) {
    for (const Json& head : layer) total += head.get<int64_t>();
  }
  CHECK(total == 64 * 4 * 2);
  CHECK(plan["selector_heads"][2][0] == 1);

  const std::string prompt(400, 'x');
  const Json full = json_of({"generate", job.model, "--prompt", prompt, "--max-new-tokens", "4"});
  const Json less = json_of(
      {"generate", job.model, "--prompt", prompt, "--max-new-tokens", "4", "--plan", job.plan});
  CHECK(full["kv_bytes_held"].get<int64_t>() >= full["kv_bytes_full"].get<int64_t>());
  CHECK(less["kv_bytes_held"].get<int64_t>() < full["kv_bytes_full"].get<int64_t>() / 2);
  const Json same = json_of({"generate", job.model, "--prompt", prompt, "--max-new-tokens", "4",
                             "--method", "snapkv", "--retention", "1.0"});
  CHECK(same["generated_ids"] == full["generated_ids"]);

  const Json rows =
      json_of({"evaluate", job.model, "--profile", job.profile, "--tasks", "needle", "--contexts",
               "256", "--samples", "2", "--methods", "compresskv,streaming", "--retentions",
               "0.5,1.0", "--prompt-format", "raw", "--out", job.scratch.file("e.h5")});
  REQUIRE(rows["rows"].size() == 7);  // full; random and two methods at two retentions
  CHECK(rows["rows"][0]["method"] == "full");

  CHECK(json_of({"inspect", job.profile})["kind"] == "profile");
  CHECK(json_of({"inspect", job.plan})["kind"] == "plan");
  CHECK(json_of({"inspect", job.scratch.file("e.h5")})["kind"] == "evaluation");
}

TEST_CASE("a mix of the families ranks the heads, one that is not theirs is refused", "[cli]") {
  const PlantedJob job;
  std::vector<std::string> command{"profile",
                                   job.model,
                                   "--out",
                                   job.profile,
                                   "--context-lengths",
                                   "256",
                                   "--depths",
                                   "0.5",
                                   "--needles-per-cell",
                                   "2",
                                   "--prompt-format",
                                   "raw",
                                   "--scores",
                                   "srh",
                                   "--mix"};
  command.push_back("number=3,word=1");
  const Json profile = json_of(command);
  CHECK(profile["scores"].size() == 1);
  CHECK(profile["trust"]["mix"] == "number=3,word=1");
  command.back() = "word=x";
  command.push_back("--force");
  CHECK(run_headscope(command).exit_code == 2);
  command[command.size() - 2] = "city=1";
  const ProgramResult refused = run_headscope(command);
  CHECK(refused.exit_code == 2);
  CHECK(refused.err.find("number, word") != std::string::npos);
}

TEST_CASE("pictures and head orders leave a profile", "[cli]") {
  PlantedJob job;
  job.make_profile();
  json_of({"heatmap", job.profile, "--out", job.scratch.file("heads.svg")});
  json_of({"heatmap", job.profile, "--score", "retrieval", "--out", job.scratch.file("heads.png")});
  CHECK(headscope::testing::read_text(job.scratch.file("heads.svg")).find("<svg") !=
        std::string::npos);
  CHECK(headscope::testing::read_text(job.scratch.file("heads.png")).substr(1, 3) == "PNG");
  json_of({"convert", job.profile, "--to", "head-order", "--out", job.scratch.file("order.json")});
  const Json order = Json::parse(headscope::testing::read_text(job.scratch.file("order.json")));
  REQUIRE(order.size() == 4);
  CHECK(order["2"][0] == 1);
}

TEST_CASE("trace writes what was asked for and nothing else", "[cli]") {
  const PlantedJob job;
  headscope::testing::write_text(job.scratch.file("ids.json"), "[5, 6, 7, 8]");
  json_of({"trace", job.model, "--tokens", job.scratch.file("ids.json"), "--what", "q,z",
           "--layers", "1", "--out", job.scratch.file("t.h5")});
  CHECK(json_of({"inspect", job.scratch.file("t.h5")})["kind"] == "trace");
}

TEST_CASE("resuming leaves a complete profile as it is", "[cli]") {
  PlantedJob job;
  job.make_profile();
  const std::string before = headscope::testing::read_text(job.profile);
  const Json again = json_of({"profile", job.model, "--out", job.profile, "--resume"});
  CHECK(again["num_resumed"] == 4);
  CHECK(headscope::testing::read_text(job.profile) == before);
}

TEST_CASE("an interrupted profile says how to resume, and resuming ends it", "[cli]") {
  const PlantedJob job;
  const std::vector<std::string> command = {"profile",
                                            job.model,
                                            "--out",
                                            job.profile,
                                            "--context-lengths",
                                            "1024",
                                            "--depths",
                                            "0.1,0.3,0.5,0.7,0.9",
                                            "--needles-per-cell",
                                            "100",
                                            "--prompt-format",
                                            "raw"};
  const ProgramResult stopped = run_headscope(command, "timeout --preserve-status -s INT 4");
  if (stopped.exit_code == 0) {
    std::puts("SKIPPED: the run was over before it could be interrupted");
    return;
  }
  INFO(stopped.err);
  CHECK(stopped.exit_code == 130);
  CHECK(stopped.err.find("--resume") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(job.profile));
  auto resume = command;
  resume.push_back("--resume");
  const Json whole = json_of(resume);
  CHECK(whole["num_probes"] == 500);
  CHECK(whole["num_resumed"].get<int64_t>() > 0);
  CHECK(job.scratch.names() == std::vector<std::string>{"model", "profile.h5"});
}

TEST_CASE("one interruption that comes twice is one", "[cli]") {
  const PlantedJob job;
  const std::string err = job.scratch.file("err");
  // timeout(1), like a terminal with a wrapper, signals a program and then its whole group.
  ChildProcess child(
      {"/bin/bash", "-c", "exec \"$0\" \"$@\" 2>'" + err + "'", program_path(), "profile",
       job.model, "--out", job.profile, "--context-lengths", "2048", "--depths",
       "0.1,0.3,0.5,0.7,0.9", "--needles-per-cell", "100", "--prompt-format", "raw"},
      job.scratch.file("out"));
  while (!child.ended() && !std::filesystem::exists(job.profile + ".trials")) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  child.signal(SIGINT);
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
  child.signal(SIGINT);
  CHECK(child.wait() == 130);
  const std::string said = headscope::testing::read_text(err);
  INFO(said);
  CHECK(said.find("--resume") != std::string::npos);
}

TEST_CASE("a dry run states memory and time and writes nothing", "[cli]") {
  const PlantedJob job;
  const Json estimate = json_of({"profile", job.model, "--out", job.profile, "--dry-run"});
  CHECK(estimate["peak_bytes"].get<int64_t>() > estimate["weight_bytes"].get<int64_t>());
  CHECK(job.scratch.names() == std::vector<std::string>{"model"});
}
