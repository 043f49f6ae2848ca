// Where an unfinished run is kept: `<output>.partial` beside the output, a complete file of the
// output's own format that holds the trials done so far.
#pragma once

#include <optional>
#include <string>

#include "outputs/evaluation.h"
#include "outputs/head_profile.h"

namespace headscope::profiler {

class TrialStore {
 public:
  // `output` is the file that the run will leave ("P.h5"); `resume` = take up an existing partial
  // file, else an old one is overwritten.
  TrialStore(std::string output, bool resume);

  [[nodiscard]] const std::string& partial_path() const { return partial_path_; }

  // What an earlier run left; empty when there is nothing or resuming was not asked for. InputError
  // when the file is not readable.
  [[nodiscard]] std::optional<HeadProfile> load_profile() const;
  [[nodiscard]] std::optional<Evaluation> load_evaluation() const;

  // Atomic: a crash leaves the previous state.
  void save(const HeadProfile& profile);
  void save(const Evaluation& evaluation);

  // After the output itself was written.
  void discard();

 private:
  std::string partial_path_;
  bool resume_ = false;
};

}  // namespace headscope::profiler
