// kill -9 at random moments: nothing finished is lost, nothing is run twice, the file ends the
// same.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <thread>

#include "profiler/planted_model.h"
#include "profiler/trial_journal.h"
#include "tests/support/profile_bytes.h"
#include "tests/support/program.h"

namespace headscope::testing {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::json;

constexpr int kKills = 50;
constexpr uint64_t kSeed = 20260101;

struct Ending {
  bool killed = false;
  int exit_code = -1;
  double seconds = 0.0;
};

// Runs the program and kills it after `limit` seconds unless it ends by itself.
Ending run_for(const std::vector<std::string>& arguments,
               const std::string& out,
               double limit = 1e9) {
  std::vector<char*> argv;
  std::string program = std::getenv("HEADSCOPE_PROGRAM");
  std::vector<std::string> words = arguments;
  argv.push_back(program.data());
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const auto started = Clock::now();
  const pid_t child = fork();
  if (child == 0) {
    const int file = ::open(out.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0644);
    ::dup2(file, STDOUT_FILENO);
    ::execv(program.c_str(), argv.data());
    ::_exit(127);
  }
  Ending ending;
  int status = 0;
  for (;;) {
    ending.seconds = std::chrono::duration<double>(Clock::now() - started).count();
    if (waitpid(child, &status, WNOHANG) == child) break;
    if (ending.seconds > limit) {
      ::kill(child, SIGKILL);
      waitpid(child, &status, 0);
      break;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  ending.killed = WIFSIGNALED(status);
  ending.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return ending;
}

// Addresses of the finished trials; each must be there once.
std::set<std::string> finished(const std::string& journal) {
  std::set<std::string> addresses;
  const auto contents = profiler::read_journal(journal);
  if (!contents) return addresses;
  for (const profiler::Trial& trial : contents->trials) addresses.insert(trial.address);
  CHECK(addresses.size() == contents->trials.size());
  return addresses;
}

struct Job {
  ScratchFolder scratch;
  std::string profile = scratch.path("p.h5");
  std::string said = scratch.path("said.json");

  Job() { profiler::write_planted_model({}, scratch.path("model")); }

  [[nodiscard]] std::vector<std::string> command(const std::string& output) const {
    return {"profile",
            scratch.path("model"),
            "--out",
            output,
            "--context-lengths",
            "256,512",
            "--depths",
            "0,0.3,0.6,0.9",
            "--needles-per-cell",
            "10",
            "--prompt-format",
            "raw",
            "--threads",
            "1",
            "--quiet",
            "--json",
            "--resume"};
  }
};

}  // namespace

TEST_CASE("kill -9 at 50 random moments loses and repeats no finished probe", "[cli]") {
  const Job job;
  INFO("seed " << kSeed);
  const std::string reference = job.scratch.path("reference.h5");
  const Ending whole = run_for(job.command(reference), job.said);
  REQUIRE(whole.exit_code == 0);
  const std::string expected = bytes_without_provenance(reference);
  const auto probes = Json::parse(read_text(job.said))["num_probes"].get<size_t>();

  std::mt19937_64 random(kSeed);
  std::uniform_real_distribution<double> moment(0.0, 0.8 * whole.seconds);
  int kills = 0, ended = 0, while_running = 0;
  while (kills < kKills || ended == 0) {
    const std::set<std::string> before = finished(job.profile + ".trials");
    const Ending ending =
        run_for(job.command(job.profile), job.said, kills < kKills ? moment(random) : 1e9);
    if (ending.killed) {
      ++kills;
      const bool over = std::filesystem::exists(job.profile);  // only the journal was left to go
      const std::set<std::string> after = over ? before : finished(job.profile + ".trials");
      CHECK(std::includes(after.begin(), after.end(), before.begin(), before.end()));
      if (after.size() > before.size() && after.size() < probes) ++while_running;
      if (!over) continue;
    } else {
      REQUIRE(ending.exit_code == 0);
      const Json said = Json::parse(read_text(job.said));
      CHECK(said["num_probes"].get<size_t>() == probes);
      CHECK(said["num_resumed"].get<size_t>() == before.size());
    }
    ++ended;
    CHECK(bytes_without_provenance(job.profile) == expected);
    std::filesystem::remove(job.profile);
    std::filesystem::remove(job.profile + ".trials");
  }
  CAPTURE(whole.seconds, ended);
  INFO(while_running << " of " << kills << " kills fell between two finished probes");
  CHECK(while_running >= kKills / 10);
}

}  // namespace headscope::testing
