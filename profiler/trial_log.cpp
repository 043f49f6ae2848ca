#include "profiler/trial_log.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "outputs/input_error.h"

namespace headscope::profiler {
namespace {

namespace fs = std::filesystem;

void check_same_run(const std::string& path, const TrialRun& stored, const TrialRun& now) {
  if (stored == now) return;
  std::string wanted, found;
  for (const auto& [name, value] : now) {
    const auto other = stored.find(name);
    if (other != stored.end() && other->second == value) continue;
    wanted += (wanted.empty() ? "" : ", ") + name + " " + value;
    found += (found.empty() ? "" : ", ") + name + " " +
             (other == stored.end() ? "not told" : other->second);
  }
  throw InputError(path, "what is left of the same run (" + wanted + ")",
                   "another run's (" + found + ")",
                   "Repeat that run's command to end it, delete the file, or give --force to start "
                   "afresh.");
}

}  // namespace

TrialLog::TrialLog(std::string output, int rank, bool replace)
    : output_(std::move(output)),
      path_(output_ + ".trials" + (rank < 0 ? "" : ".rank" + std::to_string(rank))),
      replace_(replace) {}

std::vector<std::string> TrialLog::files() const {
  const fs::path output(output_);
  const std::string own = output.filename().string() + ".trials";
  const fs::path folder = output.has_parent_path() ? output.parent_path() : fs::path(".");
  std::vector<std::string> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name == own || name.rfind(own + ".rank", 0) == 0) found.push_back(entry.path().string());
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::map<std::string, Trial> TrialLog::read(const TrialRun& run) const {
  std::map<std::string, Trial> trials;
  for (const std::string& file : files()) {
    auto contents = read_journal(file);
    if (!contents) continue;
    if (replace_ && contents->run != run) {
      fs::remove(file);
      continue;
    }
    check_same_run(file, contents->run, run);
    for (Trial& trial : contents->trials) trials.emplace(trial.address, std::move(trial));
  }
  return trials;
}

void TrialLog::open(const TrialRun& run) {
  if (!writer_) writer_ = std::make_unique<JournalWriter>(path_, run);
}

void TrialLog::append(const std::vector<Trial>& trials) {
  writer_->append(trials);
}

void TrialLog::sync() {
  if (writer_) writer_->sync();
}

void TrialLog::discard() {
  writer_.reset();
  std::error_code ignored;
  for (const std::string& file : files()) fs::remove(file, ignored);
}

void TrialLog::discard_leftovers() {
  std::error_code error;
  const auto written = fs::last_write_time(output_, error);
  if (error) return;
  for (const std::string& file : files()) {
    if (fs::last_write_time(file, error) > written || error) return;
  }
  discard();
}

}  // namespace headscope::profiler
