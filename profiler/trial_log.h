// The trials of an unfinished run beside its output: `P.h5.trials`, and one `P.h5.trials.rankN` for
// every rank of a run over several processes. Whoever goes on takes up what any of them finished.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "profiler/trial_journal.h"

namespace headscope::profiler {

class TrialLog {
 public:
  // `output` is the file that the run will leave ("P.h5"). `rank` -1: the only process. `replace`:
  // files of another run are taken away instead of refused.
  explicit TrialLog(std::string output, int rank = -1, bool replace = false);

  // The file that this process appends to.
  [[nodiscard]] const std::string& path() const { return path_; }

  // Every finished trial that lies beside the output, by address. InputError, naming what differs,
  // where a file is of another run, whose trials would be lost when this one is done.
  [[nodiscard]] std::map<std::string, Trial> read(const TrialRun& run) const;

  // The file is opened, and made where there is none, by the first of these. Of another run it must
  // not be (see read()).
  void open(const TrialRun& run);
  void append(const std::vector<Trial>& trials);
  void sync();

  // Removes all of the output's trial files: the output was written.
  void discard();
  // The same where the output is there and younger than they are: a process that was killed between
  // the two left them.
  void discard_leftovers();

 private:
  [[nodiscard]] std::vector<std::string> files() const;

  std::string output_;
  std::string path_;
  bool replace_;
  std::unique_ptr<JournalWriter> writer_;
};

}  // namespace headscope::profiler
