#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>

#include "outputs/input_error.h"
#include "profiler/trial_journal.h"
#include "profiler/trial_log.h"
#include "tests/profiler/planted_setup.h"
#include "tests/support/program.h"

namespace headscope::testing {
namespace {

using profiler::JournalWriter;
using profiler::Trial;
using profiler::TrialRun;

const TrialRun kRun{{"model", "m"}, {"scores", "srh,r2"}};

Trial trial(int number) {
  const auto value = static_cast<float>(number);
  return {"address " + std::to_string(number),
          "said \"" + std::to_string(number) + "\"\n\xC3\xA9",
          0.1 * number,
          {{"srh", {value, -value, 0.25F}}, {"r2", {1.0F / 3.0F, value, 7.0F}}}};
}

// A journal of three records: trials 0; 1 and 2 together; 3.
std::string write_sample(const std::string& path) {
  JournalWriter writer(path, kRun);
  writer.append({trial(0)});
  writer.append({trial(1), trial(2)});
  writer.append({trial(3)});
  writer.sync();
  return read_text(path);
}

void check_prefix(const std::vector<Trial>& trials) {
  for (size_t i = 0; i < trials.size(); ++i) CHECK((trials[i] == trial(static_cast<int>(i))));
}

}  // namespace

TEST_CASE("a journal gives back its run and its trials", "[profiler]") {
  const ScratchFolder folder;
  write_sample(folder / "j");
  const auto contents = profiler::read_journal(folder / "j");
  REQUIRE(contents);
  CHECK((contents->run == kRun));
  REQUIRE(contents->trials.size() == 4);
  check_prefix(contents->trials);
  CHECK_FALSE(profiler::read_journal(folder / "none"));
}

TEST_CASE("samples that are no number come back as such", "[profiler]") {
  const ScratchFolder folder;
  Trial odd = trial(1);
  odd.samples["srh"][1] = std::numeric_limits<float>::quiet_NaN();
  JournalWriter(folder / "j", kRun).append({odd});
  const auto contents = profiler::read_journal(folder / "j");
  CHECK(std::isnan(contents->trials.at(0).samples.at("srh")[1]));
  CHECK(contents->trials.at(0).samples.at("srh")[2] == 0.25F);
}

TEST_CASE("a journal cut off at any byte keeps its whole records, and can be gone on with",
          "[profiler]") {
  const ScratchFolder folder;
  const std::string whole = write_sample(folder / "whole");
  const std::string path = folder / "cut";
  size_t most = 0;
  for (size_t size = 0; size < whole.size(); ++size) {
    INFO("cut to " << size << " of " << whole.size() << " bytes");
    write_text(path, whole.substr(0, size));
    const auto contents = profiler::read_journal(path);
    const size_t kept = contents ? contents->trials.size() : 0;
    REQUIRE(kept >= most);  // more bytes never tell less
    REQUIRE((kept == 0 || kept == 1 || kept == 3));
    most = kept;
    if (contents) check_prefix(contents->trials);
    JournalWriter(path, kRun).append({trial(9)});
    const auto mended = profiler::read_journal(path);
    REQUIRE(mended);
    REQUIRE(mended->trials.size() == kept + 1);
    REQUIRE((mended->trials.back() == trial(9)));
  }
  CHECK(most == 3);
}

TEST_CASE("a flipped bit costs its record and what follows, never more", "[profiler]") {
  const ScratchFolder folder;
  const std::string whole = write_sample(folder / "whole");
  const std::string path = folder / "flipped";
  for (size_t at = 19; at < whole.size(); at += 7) {
    INFO("bit flipped in byte " << at);
    std::string bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ 4);
    write_text(path, bytes);
    const auto contents = profiler::read_journal(path);
    if (!contents) continue;  // the run itself
    REQUIRE(contents->trials.size() < 4);
    check_prefix(contents->trials);
  }
}

TEST_CASE("another file is not taken for a journal and not touched", "[profiler]") {
  const ScratchFolder folder;
  write_text(folder / "j", "my thesis");
  CHECK_THROWS_WITH(profiler::read_journal(folder / "j"), Catch::Contains("another file"));
  CHECK_THROWS_AS(JournalWriter(folder / "j", kRun), InputError);
  CHECK(read_text(folder / "j") == "my thesis");
}

TEST_CASE("two processes do not write one journal", "[profiler]") {
  const ScratchFolder folder;
  const JournalWriter first(folder / "j", kRun);
  CHECK_THROWS_WITH(JournalWriter(folder / "j", kRun), Catch::Contains("another process"));
}

TEST_CASE("a log takes up what every rank finished, and leaves nothing behind", "[profiler]") {
  const ScratchFolder folder;
  const std::string output = folder / "p.h5";
  for (const int rank : {-1, 0, 2}) {
    profiler::TrialLog log(output, rank);
    log.open(kRun);
    log.append({trial(0), trial(rank + 2)});
  }
  write_text(folder / "p.h5.trialsome", "other");
  profiler::TrialLog log(output);
  CHECK(log.read(kRun).size() == 4);  // 0, 1, 2, 4
  log.discard();
  CHECK(log.read(kRun).empty());
  CHECK(std::filesystem::exists(folder / "p.h5.trialsome"));
}

TEST_CASE("files of a finished run are cleared away, those of a younger one stay", "[profiler]") {
  using namespace std::chrono_literals;
  const ScratchFolder folder;
  const std::string output = folder / "p.h5";
  profiler::TrialLog log(output);
  log.open(kRun);
  write_text(output, "profile");
  const auto written = std::filesystem::last_write_time(output);
  std::filesystem::last_write_time(log.path(), written + 1s);
  log.discard_leftovers();
  CHECK(std::filesystem::exists(log.path()));
  std::filesystem::last_write_time(log.path(), written - 1s);
  log.discard_leftovers();
  CHECK_FALSE(std::filesystem::exists(log.path()));
}

}  // namespace headscope::testing
