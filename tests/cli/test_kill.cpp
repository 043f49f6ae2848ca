// kill -9 at random moments: nothing finished is lost, nothing is run twice, the file ends the
// same.
#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <thread>

#include "profiler/planted_model.h"
#include "profiler/trial_journal.h"
#include "tests/support/child_process.h"
#include "tests/support/profile_bytes.h"
#include "tests/support/program.h"
#include "tests/support/scratch_folder.h"

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
  std::vector<std::string> words{program_path()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  const auto started = Clock::now();
  ChildProcess child(words, out);
  Ending ending;
  while (!child.ended()) {
    ending.seconds = std::chrono::duration<double>(Clock::now() - started).count();
    if (ending.seconds > limit) {
      child.signal(SIGKILL);
      break;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  const int code = child.wait();
  ending.killed = code == -SIGKILL;
  ending.exit_code = code;
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
  std::string profile = scratch.file("p.h5");
  std::string said = scratch.file("said.json");

  Job() { profiler::write_planted_model({}, scratch.file("model")); }

  [[nodiscard]] std::vector<std::string> command(const std::string& output) const {
    return {"profile",
            scratch.file("model"),
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
  const std::string reference = job.scratch.file("reference.h5");
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
