// `evaluate` through the program, its pictures and its tables, on a planted model whose retrieval
// head is layer 2, head 1.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "profiler/planted_model.h"
#include "tests/support/program.h"
#include "tests/support/scratch_folder.h"

using headscope::testing::ProgramResult;
using headscope::testing::read_text;
using headscope::testing::run_headscope;
using headscope::testing::ScratchFolder;
using headscope::testing::write_text;
using Json = nlohmann::json;

namespace {

struct EvaluationJob {
  ScratchFolder scratch;
  std::string model = scratch.file("model");
  std::string out = scratch.file("e.h5");

  EvaluationJob() { headscope::profiler::write_planted_model({}, model); }

  ProgramResult evaluate(const std::vector<std::string>& more, bool json = true) const {
    std::vector<std::string> arguments = {"evaluate", model, "--prompt-format", "raw", "--quiet",
                                          "--out",    out};
    if (json) arguments.push_back("--json");
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_headscope(arguments);
  }

  // A profile with scores and error curves.
  std::string calibrated_profile() const {
    const std::string profile = scratch.file("p.h5");
    const ProgramResult made =
        run_headscope({"profile", model, "--out", profile, "--context-lengths", "256", "--depths",
                       "0.2,0.8", "--needles-per-cell", "2", "--prompt-format", "raw", "--quiet"});
    INFO(made.err);
    REQUIRE(made.exit_code == 0);
    const ProgramResult calibrated =
        run_headscope({"calibrate", model, "--profile", profile, "--tasks", "needle", "--samples",
                       "1", "--context-length", "256", "--prompt-format", "raw", "--quiet"});
    INFO(calibrated.err);
    REQUIRE(calibrated.exit_code == 0);
    return profile;
  }
};

}  // namespace

TEST_CASE("evaluate states every row's compression, metric and cost, with both controls", "[cli]") {
  const EvaluationJob job;
  const ProgramResult result = job.evaluate({"--tasks", "needle", "--contexts", "256", "--samples",
                                             "3", "--methods", "snapkv", "--retentions", "0.3"});
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  const Json rows = Json::parse(result.out)["rows"];
  REQUIRE(rows.size() == 3);
  CHECK(rows[0]["method"] == "full");
  CHECK(rows[1]["method"] == "snapkv");
  CHECK(rows[2]["method"] == "random");
  for (const Json& row : rows) {
    INFO(row.dump());
    CHECK(row["compression"] == "question-aware");
    CHECK(row["metric"] == "contains");
    CHECK(row["first_token_seconds"].is_null() == (row["method"] == "random"));
    CHECK(row["ci_low"] <= row["accuracy"]);
  }
  CHECK(rows[1]["kv_bytes"] == rows[2]["kv_bytes"]);

  const ProgramResult table = run_headscope({"inspect", job.out});
  CHECK(table.out.find("question-aware") != std::string::npos);
  const ProgramResult markdown = run_headscope({"inspect", job.out, "--markdown"});
  CHECK(markdown.exit_code == 0);
  CHECK(markdown.out.find("### needle, 256 tokens") == 0);
  CHECK(markdown.out.find("question-aware") != std::string::npos);
  CHECK(markdown.out.find("| snapkv | ") != std::string::npos);
  CHECK(markdown.out.find("| random | ") != std::string::npos);
  CHECK(markdown.out.find("Full cache: 1.00") != std::string::npos);
}

TEST_CASE("the tables average the tasks of a length and give the share of the full cache",
          "[cli]") {
  const EvaluationJob job;
  const ProgramResult result =
      job.evaluate({"--tasks", "needle,qa", "--contexts", "512", "--samples", "4", "--methods",
                    "snapkv", "--retentions", "0.4,0.1", "--timed-samples", "0"});
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  double full = 0.0, snapkv = 0.0;
  const Json report = Json::parse(result.out);
  for (const Json& row : report["rows"]) {
    if (row["method"] == "full") full += row["accuracy"].get<double>() / 2;
    if (row["method"] == "snapkv" && row["retention"] == 0.4) {
      snapkv += row["accuracy"].get<double>() / 2;
    }
  }
  REQUIRE(full > 0.0);
  char cell[64];
  std::snprintf(cell, sizeof cell, "| snapkv | %.3f (%.*f %%) |", snapkv,
                snapkv / full < 0.0995 ? 1 : 0, 100.0 * snapkv / full);
  const ProgramResult markdown = run_headscope({"inspect", job.out, "--markdown"});
  INFO(markdown.out << "expected " << cell);
  CHECK(markdown.out.find("### Average over 2 tasks, 512 tokens") == 0);
  CHECK(markdown.out.find("| kept | 40 % | 10 % |") != std::string::npos);
  CHECK(markdown.out.find(cell) != std::string::npos);
}

TEST_CASE("evaluate compresses without the question where it is told to", "[cli]") {
  const EvaluationJob job;
  const ProgramResult result =
      job.evaluate({"--tasks", "needle", "--contexts", "256", "--samples", "2", "--methods",
                    "snapkv", "--budgets", "64", "--question-agnostic", "--timed-samples", "0"},
                   /*json=*/false);
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  CHECK(result.out.find("question-agnostic") == 0);
}

TEST_CASE("arms of evaluate are options, and need a profile", "[cli]") {
  const EvaluationJob job;
  const std::vector<std::string> options = {"--tasks",           "needle",
                                            "--contexts",        "256",
                                            "--samples",         "2",
                                            "--methods",         "snapkv",
                                            "--retentions",      "0.3",
                                            "--timed-samples",   "0",
                                            "--arm-selectors",   "srh,random,all",
                                            "--arm-heads",       "1,all",
                                            "--arm-allocations", "layer,uniform"};
  const ProgramResult without = job.evaluate(options);
  CHECK(without.exit_code == 2);
  CHECK(without.err.find("--profile") != std::string::npos);
  std::vector<std::string> with = options;
  with.insert(with.end(), {"--profile", job.calibrated_profile()});
  const ProgramResult result = job.evaluate(with);
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  const Json rows = Json::parse(result.out)["rows"];
  std::vector<std::string> methods;
  for (const Json& row : rows) methods.push_back(row["method"]);
  CHECK(methods == std::vector<std::string>{"full", "snapkv", "srh-1", "srh-1+uniform", "all-heads",
                                            "all-heads+uniform", "random-1", "random-1+uniform",
                                            "random"});
}

TEST_CASE("a needle file is evaluated by depth and length, and drawn", "[cli]") {
  const EvaluationJob job;
  const std::string file = job.scratch.file("cells.jsonl");
  write_text(file, R"({"needle": "The number of the northern lighthouse is 48213.", )"
                   R"("question": "What is the number of the northern lighthouse?", )"
                   R"("answer_prefix": "The number of the northern lighthouse is", )"
                   R"("real_needle": "48213"})");
  const ProgramResult result = job.evaluate(
      {"--task-file", file, "--task-format", "niah", "--contexts", "128,256", "--depths", "0,0.5,1",
       "--methods", "streaming", "--retentions", "0.3", "--timed-samples", "0"});
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  const Json rows = Json::parse(result.out)["rows"];
  REQUIRE(rows.size() == 6);
  CHECK(rows[0]["metric"] == "rouge-1");
  CHECK(rows[0]["num_samples"] == 3);

  const std::string picture = job.scratch.file("n.svg");
  const ProgramResult drawn = run_headscope({"heatmap", job.out, "--out", picture, "--json"});
  INFO(drawn.err);
  REQUIRE(drawn.exit_code == 0);
  CHECK(Json::parse(drawn.out)["picture"] == "niah");
  CHECK(read_text(picture).find("streaming") != std::string::npos);
  const std::string frontier = job.scratch.file("f.png");
  CHECK(run_headscope({"heatmap", job.out, "--picture", "frontier", "--out", frontier}).exit_code ==
        0);
  const ProgramResult absent =
      run_headscope({"heatmap", job.out, "--method", "snapkv", "--out", frontier, "--force"});
  CHECK(absent.exit_code == 2);
  CHECK(absent.err.find("method snapkv") != std::string::npos);
}

TEST_CASE("evaluate refuses a bad task file, and options that contradict each other", "[cli]") {
  const EvaluationJob job;
  const std::string file = job.scratch.file("t.jsonl");
  write_text(file, "{\"input\": \"a\", \"outputs\": [\"b\"]}\n{\"input\": \"a\"}\n");
  const auto complaint = [&](const std::vector<std::string>& options) {
    const ProgramResult result = job.evaluate(options);
    CHECK(result.exit_code == 2);
    return result.err;
  };
  const std::string bad_line =
      complaint({"--task-file", file, "--task-format", "ruler", "--methods", "snapkv"});
  CHECK(bad_line.find("t.jsonl, line 2") != std::string::npos);
  CHECK(bad_line.find("outputs") != std::string::npos);
  CHECK(complaint({"--task-file", file}).find("--task-format") != std::string::npos);
  CHECK(complaint({"--task-file", file, "--task-format", "ruler", "--tasks", "qa"})
            .find("--tasks or --task-file") != std::string::npos);
  CHECK(complaint({"--depths", "1.5"}).find("depths") != std::string::npos);
  CHECK(complaint({"--arm-heads", "0"}).find("--arm-heads") != std::string::npos);
  CHECK(complaint({"--retentions", "0.5", "--budgets", "64"}).find("--budgets or --retentions") !=
        std::string::npos);
}

TEST_CASE("evaluate resumes only the run that it left", "[cli]") {
  const EvaluationJob job;
  const std::vector<std::string> options = {"--tasks",      "needle", "--contexts",      "256",
                                            "--samples",    "2",      "--methods",       "snapkv",
                                            "--retentions", "0.3",    "--timed-samples", "0"};
  REQUIRE(job.evaluate(options).exit_code == 0);
  // What an interrupted run of these options would have left.
  std::filesystem::rename(job.out, job.out + ".partial");
  std::vector<std::string> other = options;
  std::replace(other.begin(), other.end(), std::string("2"), std::string("3"));  // samples
  other.push_back("--resume");
  const ProgramResult refused = job.evaluate(other);
  CHECK(refused.exit_code == 2);
  CHECK(refused.err.find("another run") != std::string::npos);
  std::vector<std::string> same = options;
  same.push_back("--resume");
  const ProgramResult resumed = job.evaluate(same);
  INFO(resumed.err);
  REQUIRE(resumed.exit_code == 0);
  CHECK(Json::parse(resumed.out)["num_resumed"] == 2);
}
