// Every kind of bad input gets its exit code, a first line that says where, and leaves no file
// behind.
#include <catch2/catch.hpp>

#include "profiler/planted_model.h"
#include "tests/support/program.h"
#include "tests/support/scratch_folder.h"

using headscope::testing::ProgramResult;
using headscope::testing::run_headscope;
using headscope::testing::ScratchFolder;

namespace {

struct Planted {
  ScratchFolder scratch;
  std::string model = scratch.file("model");
  Planted() { headscope::profiler::write_planted_model({}, model); }
};

void check_refused(const ProgramResult& result, int exit_code, const std::string& mentions) {
  INFO("stderr: " << result.err);
  INFO("stdout: " << result.out);
  CHECK(result.exit_code == exit_code);
  CHECK(result.err.find(mentions) != std::string::npos);
  CHECK(result.out.empty());
}

}  // namespace

TEST_CASE("options that cannot be are refused with exit code 2", "[cli]") {
  const Planted planted;
  check_refused(run_headscope({}), 2, "subcommand");
  check_refused(run_headscope({"frobnicate"}), 2, "frobnicate");
  check_refused(run_headscope({"profile", planted.model}), 2, "--out");
  check_refused(run_headscope({"generate", planted.model, "--prompt", "a", "--dtype", "int3"}), 2,
                "dtype");
  check_refused(run_headscope({"generate", planted.model, "--prompt", "a", "--prompt-file", "b"}),
                2, "exactly one");
  check_refused(run_headscope({"generate", planted.model, "--prompt", "a", "--method", "best",
                               "--budget", "9"}),
                2, "best");
  check_refused(run_headscope({"generate", planted.model, "--prompt", "a", "--method", "compresskv",
                               "--budget", "64"}),
                2, "profile");
  for (const std::string method : {"headkv", "razor", "adacompresskv"}) {
    check_refused(run_headscope({"generate", planted.model, "--prompt", "a", "--method", method,
                                 "--budget", "64"}),
                  2, "a profile with the score");
  }
  check_refused(run_headscope({"generate", planted.model, "--prompt", "a", "--method", "gates",
                               "--budget", "64"}),
                2, "--plan");
  check_refused(run_headscope({"generate", planted.model, "--prompt", "a", "--method", "adakv",
                               "--budget", "64", "--set", "alpha=1"}),
                2, "head_floor");
  check_refused(run_headscope({"generate", planted.model, "--prompt", "a", "--method", "snapkv",
                               "--retention", "1.5"}),
                2, "retention");
}

TEST_CASE("models that are not there or not whole are refused with exit code 2", "[cli]") {
  const Planted planted;
  check_refused(run_headscope({"inspect", planted.scratch.file("nothing")}), 2, "nothing");
  check_refused(run_headscope({"inspect", "someone/not-cached"}), 2, "not-cached");
  std::filesystem::remove(planted.model + "/model.safetensors");
  check_refused(run_headscope({"inspect", planted.model}), 2, "safetensors");
}

TEST_CASE("a truncated checkpoint is refused, whatever was cut", "[cli]") {
  const Planted planted;
  const std::string weights = planted.model + "/model.safetensors";
  const std::string whole = headscope::testing::read_text(weights);
  for (const size_t length :
       {size_t{0}, size_t{4}, size_t{100}, whole.size() / 2, whole.size() - 1}) {
    headscope::testing::write_text(weights, whole.substr(0, length));
    check_refused(run_headscope({"inspect", planted.model}), 2, "model.safetensors");
  }
}

TEST_CASE("a config that contradicts the weights names the tensor", "[cli]") {
  const Planted planted;
  const std::string path = planted.model + "/config.json";
  std::string config = headscope::testing::read_text(path);
  const size_t at = config.find("\"num_key_value_heads\"");
  REQUIRE(at != std::string::npos);
  const size_t digit = config.find_first_of("0123456789", at);
  config[digit] = '4';
  headscope::testing::write_text(path, config);
  check_refused(run_headscope({"inspect", planted.model}), 2, "k_proj");
}

TEST_CASE("a prompt longer than the model's positions is refused with both numbers", "[cli]") {
  const Planted planted;
  std::string ids = "[5";
  for (int i = 1; i < 5000; ++i) ids += ",5";
  headscope::testing::write_text(planted.scratch.file("ids.json"), ids + "]");
  const ProgramResult result =
      run_headscope({"generate", planted.model, "--tokens", planted.scratch.file("ids.json")});
  check_refused(result, 2, "4096");
  CHECK(result.err.find("5000") != std::string::npos);
}

TEST_CASE("token files that hold no ids are refused with the element named", "[cli]") {
  const Planted planted;
  const std::string ids = planted.scratch.file("ids.json");
  for (const auto& [text, mentions] :
       std::vector<std::pair<std::string, std::string>>{{"[1, 2", "JSON"},
                                                        {"{}", "array"},
                                                        {"[]", "empty"},
                                                        {"[1, 2.5]", "element 1"},
                                                        {"[1, -3]", "element 1"},
                                                        {"[999999999]", "element 0"}}) {
    headscope::testing::write_text(ids, text);
    check_refused(run_headscope({"generate", planted.model, "--tokens", ids}), 2, mentions);
  }
}

TEST_CASE("a plan for another model is refused with exit code 4", "[cli]") {
  const Planted planted;
  const std::string other = planted.scratch.file("other");
  headscope::profiler::PlantedModelOptions options;
  options.seed = 1;
  headscope::profiler::write_planted_model(options, other);
  const std::string profile = planted.scratch.file("p.h5");
  const std::string plan = planted.scratch.file("plan.json");
  REQUIRE(run_headscope({"profile", planted.model, "--out", profile, "--context-lengths", "256",
                         "--depths", "0.5", "--needles-per-cell", "1", "--prompt-format", "raw"})
              .exit_code == 0);
  REQUIRE(run_headscope({"plan", profile, "--method", "uniform", "--budget", "40", "--out", plan})
              .exit_code == 0);
  const std::vector<std::string> generate = {"generate",         other, "--prompt", "abc",
                                             "--max-new-tokens", "1",   "--plan",   plan};
  check_refused(run_headscope(generate), 4, "fingerprint");
  auto forced = generate;
  forced.push_back("--force");
  CHECK(run_headscope(forced).exit_code == 0);

  headscope::profiler::PlantedModelOptions deeper;
  deeper.num_layers = 5;
  headscope::profiler::write_planted_model(deeper, planted.scratch.file("deeper"));
  forced[1] = planted.scratch.file("deeper");
  check_refused(run_headscope(forced), 4, "layers");
}

TEST_CASE("a plan without calibration says which command is missing", "[cli]") {
  const Planted planted;
  const std::string profile = planted.scratch.file("p.h5");
  REQUIRE(run_headscope({"profile", planted.model, "--out", profile, "--context-lengths", "256",
                         "--depths", "0.5", "--needles-per-cell", "1", "--prompt-format", "raw"})
              .exit_code == 0);
  const std::string plan = planted.scratch.file("plan.json");
  check_refused(
      run_headscope({"plan", profile, "--method", "compresskv", "--budget", "64", "--out", plan}),
      2, "calibrate");
  check_refused(
      run_headscope({"plan", profile, "--method", "uniform", "--budget", "0", "--out", plan}), 2,
      "0");
  check_refused(
      run_headscope({"plan", profile, "--method", "uniform", "--budget", "-5", "--out", plan}), 2,
      "-5");
  check_refused(run_headscope({"plan", profile, "--method", "uniform", "--out", plan}), 2,
                "budget");
  CHECK_FALSE(std::filesystem::exists(plan));
}

TEST_CASE("an output that exists is refused before the work, and kept", "[cli]") {
  const Planted planted;
  const std::string out = planted.scratch.file("p.h5");
  headscope::testing::write_text(out, "mine");
  check_refused(run_headscope({"profile", planted.model, "--out", out}), 2, "--force");
  CHECK(headscope::testing::read_text(out) == "mine");
  check_refused(
      run_headscope({"profile", planted.model, "--out", planted.scratch.file("no/such/p.h5")}), 2,
      "no/such");
}

TEST_CASE("a full disk is told as such and leaves no half file", "[cli]") {
  const Planted planted;
  headscope::testing::write_text(planted.scratch.file("ids.json"), "[5,6,7,8,9,10,11,12]");
  // A file-size limit of 8 KB stands in for the disk; the program must survive the signal's
  // default.
  const ProgramResult result =
      run_headscope({"trace", planted.model, "--tokens", planted.scratch.file("ids.json"), "--what",
                     "logits,q,k,v,z", "--out", planted.scratch.file("t.h5")},
                    "ulimit -f 8; trap '' XFSZ;");
  INFO(result.err);
  CHECK(result.exit_code == 2);
  CHECK(planted.scratch.names() == std::vector<std::string>{"ids.json", "model"});
}

TEST_CASE("asking for cuda without a device is exit code 3", "[cli]") {
  if (std::filesystem::exists("/dev/nvidia0")) {
    std::puts("SKIPPED: there is a CUDA device");
    return;
  }
  const Planted planted;
  check_refused(run_headscope({"generate", planted.model, "--prompt", "a", "--device", "cuda"}), 3,
                "CUDA");
}
