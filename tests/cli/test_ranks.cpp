// One profile by several processes: the same file, whoever is killed.
#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
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

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Words = std::vector<std::string>;

struct Job {
  ScratchFolder scratch;
  std::string profile = scratch.file("p.h5");
  int64_t needles_per_cell = 4;
  Words more;

  explicit Job(const profiler::PlantedModelOptions& model = {}) {
    profiler::write_planted_model(model, scratch.file("model"));
  }

  [[nodiscard]] Words command(const std::string& output) const {
    Words words{program_path(),
                "profile",
                scratch.file("model"),
                "--out",
                output,
                "--context-lengths",
                "256,512",
                "--depths",
                "0,0.3,0.6,0.9",
                "--needles-per-cell",
                std::to_string(needles_per_cell),
                "--controls",
                "0",
                "--prompt-format",
                "raw",
                "--threads",
                "1",
                "--json"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  [[nodiscard]] std::string said(int rank) const {
    return scratch.file("said" + std::to_string(rank));
  }

  // The whole run by one process, elsewhere.
  [[nodiscard]] std::string expected_bytes() const {
    const std::string reference = scratch.file("reference.h5");
    ChildProcess alone(command(reference), said(0));
    REQUIRE(alone.wait() == 0);
    return bytes_without_provenance(reference);
  }

  // Started as a launcher that hosts no store would.
  [[nodiscard]] std::vector<ChildProcess> start(int size) const {
    std::vector<ChildProcess> ranks;
    const std::string port = std::to_string(free_port());
    for (int rank = 0; rank < size; ++rank) {
      ranks.emplace_back(command(profile), said(rank),
                         std::map<std::string, std::string>{{"WORLD_SIZE", std::to_string(size)},
                                                            {"RANK", std::to_string(rank)},
                                                            {"MASTER_ADDR", "127.0.0.1"},
                                                            {"MASTER_PORT", port},
                                                            {"TORCHELASTIC_USE_AGENT_STORE", ""}});
    }
    return ranks;
  }

  // Addresses of the finished trials of all ranks; each must be there once.
  [[nodiscard]] std::set<std::string> finished() const {
    std::set<std::string> addresses;
    size_t count = 0;
    for (const auto& entry : fs::directory_iterator(scratch.path())) {
      const std::string name = entry.path().filename().string();
      if (name.rfind("p.h5.trials", 0) != 0) continue;
      const auto contents = profiler::read_journal(entry.path());
      if (!contents) continue;
      for (const profiler::Trial& trial : contents->trials) addresses.insert(trial.address);
      count += contents->trials.size();
    }
    CHECK(addresses.size() == count);
    return addresses;
  }

  // Until a rank has finished so many trials.
  void wait_for_trials(int rank, size_t count) const {
    const std::string path = profile + ".trials.rank" + std::to_string(rank);
    for (;;) {
      const auto contents = profiler::read_journal(path);
      if (contents && contents->trials.size() >= count) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
};

// The process of this rank of a launcher's run, by what the launcher has put into its environment;
// 0 where there is none.
pid_t process_of(const std::string& run_id, int rank) {
  const std::string wanted_run = "TORCHELASTIC_RUN_ID=" + run_id;
  const std::string wanted_rank = "RANK=" + std::to_string(rank);
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string text = read_text(entry.path() / "environ");
    std::set<std::string> variables;
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find('\0', at), text.size());
      variables.insert(text.substr(at, end - at));
      at = end + 1;
    }
    if (variables.count(wanted_run) > 0 && variables.count(wanted_rank) > 0) {
      return static_cast<pid_t>(std::stol(name));
    }
  }
  return 0;
}

}  // namespace

TEST_CASE("two and three ranks write the file of one, and rank 0 alone speaks", "[cli]") {
  const Job job;
  const std::string expected = job.expected_bytes();
  for (const int size : {2, 3}) {
    INFO(size << " ranks");
    std::vector<ChildProcess> ranks = job.start(size);
    for (ChildProcess& rank : ranks) CHECK(rank.wait() == 0);
    CHECK(bytes_without_provenance(job.profile) == expected);
    const Json said = Json::parse(read_text(job.said(0)));
    CHECK(said["num_probes"] == 32);
    CHECK(said["num_resumed"] == 0);
    for (int rank = 1; rank < size; ++rank) CHECK(read_text(job.said(rank)).empty());
    CHECK(job.finished().empty());  // nothing is left behind
    fs::remove(job.profile);
  }
}

TEST_CASE("ranks stop an open-ended run at the probe at which one process stops", "[cli]") {
  Job job({.num_query_heads = 2, .num_kv_heads = 1});  // the top tenth is the planted head
  job.more = {"--until-stable", "--max-probes", "120"};
  job.needles_per_cell = 10;
  const std::string expected = job.expected_bytes();
  std::vector<ChildProcess> ranks = job.start(2);
  for (ChildProcess& rank : ranks) CHECK(rank.wait() == 0);
  CHECK(bytes_without_provenance(job.profile) == expected);
  const Json said = Json::parse(read_text(job.said(0)));
  CHECK(said["stability"]["until_stable"]["stopped"] == true);
  CHECK(said["num_probes"] < 80);
}

TEST_CASE("ranks that were killed and are started again write the same file and repeat no probe",
          "[cli]") {
  Job job;
  job.needles_per_cell = 12;
  const std::string expected = job.expected_bytes();
  std::vector<ChildProcess> ranks = job.start(2);
  job.wait_for_trials(1, 2);
  ranks[1].signal(SIGKILL);
  ranks[0].signal(SIGTERM);  // as launchers stop the others
  CHECK(ranks[1].wait() == -SIGKILL);
  CHECK(ranks[0].wait() == 130);
  REQUIRE_FALSE(fs::exists(job.profile));
  const size_t before = job.finished().size();
  CHECK(before >= 2);

  // Another number of ranks may go on.
  std::vector<ChildProcess> again = job.start(3);
  for (ChildProcess& rank : again) CHECK(rank.wait() == 0);
  CHECK(bytes_without_provenance(job.profile) == expected);
  CHECK(Json::parse(read_text(job.said(0)))["num_resumed"] == before);
}

TEST_CASE("no thread that computes takes signals", "[cli]") {
  // A handler's frame would overwrite what oneDNN's AVX-512 products keep below the stack pointer.
  Job job;
  job.needles_per_cell = 12;
  ChildProcess run(job.command(job.profile), job.said(0));
  while (!fs::exists(job.profile + ".trials")) {
    REQUIRE_FALSE(run.ended());
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  int threads = 0, takers = 0;
  const fs::path tasks = "/proc/" + std::to_string(run.id()) + "/task";
  for (const auto& task : fs::directory_iterator(tasks)) {
    const std::string status = read_text((task.path() / "status").string());
    const auto mask = [&](const std::string& name) {
      return std::stoull(status.substr(status.find(name) + name.size()), nullptr, 16);
    };
    constexpr unsigned long long kBits = (1ULL << (SIGINT - 1)) | (1ULL << (SIGTERM - 1));
    ++threads;
    CHECK((mask("SigCgt:") & kBits) == 0);
    if ((mask("SigBlk:") & kBits) != kBits) ++takers;  // sigwait() lifts it while it waits
  }
  CHECK(threads >= 2);
  CHECK(takers <= 1);
  run.signal(SIGTERM);
  CHECK(run.wait() == 130);
}

TEST_CASE("a launcher restarts a killed rank, and the file is the same", "[cli]") {
  if (!fs::exists(HEADSCOPE_TORCHRUN)) {
    std::puts("SKIPPED: no torchrun beside HEADSCOPE_PYTHON (" HEADSCOPE_TORCHRUN ")");
    return;
  }
  Job job;
  job.needles_per_cell = 12;
  const std::string expected = job.expected_bytes();
  const std::string run_id = "headscope" + std::to_string(getpid());
  Words words{HEADSCOPE_TORCHRUN,   "--no-python",
              "--nproc-per-node",   "3",
              "--max-restarts",     "2",
              "--monitor-interval", "0.1",
              "--rdzv-id",          run_id,
              "--rdzv-backend",     "c10d",
              "--rdzv-endpoint",    "127.0.0.1:" + std::to_string(free_port())};
  const Words command = job.command(job.profile);
  words.insert(words.end(), command.begin(), command.end());
  ChildProcess launcher(words, job.said(0));
  job.wait_for_trials(1, 2);
  const pid_t victim = process_of(run_id, 1);
  REQUIRE(victim > 0);
  REQUIRE_FALSE(fs::exists(job.profile));
  ::kill(victim, SIGKILL);
  CHECK(launcher.wait() == 0);
  CHECK(bytes_without_provenance(job.profile) == expected);
  const Json said = Json::parse(read_text(job.said(0)));
  CHECK(said["num_probes"] == 96);
  CHECK(said["num_resumed"] >= 1);
}

TEST_CASE("an environment set by halves is refused before anything is done", "[cli]") {
  const ProgramResult result =
      run_headscope({"profile", "nowhere", "--out", "p.h5"}, "RANK= WORLD_SIZE=2");
  CHECK(result.exit_code == 2);
  CHECK_THAT(result.err, Catch::Contains("no RANK") && Catch::Contains("torchrun --no-python"));
}

}  // namespace headscope::testing
