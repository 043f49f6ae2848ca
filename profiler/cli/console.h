// Progress and messages on stderr: a live line with rate and ETA on a terminal, a line every few
// seconds elsewhere. Ctrl-C once asks for a clean stop; twice ends the program at once.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "profiler/progress.h"

namespace headscope::cli {

class Console final : public profiler::ProgressSink {
 public:
  Console();
  ~Console() override;
  void set_quiet(bool quiet) { quiet_ = quiet; }

  void begin(const std::string& what, int64_t total) override;
  void advance(int64_t done) override;
  void message(const std::string& text) override;
  [[nodiscard]] bool interrupted() const override;

  // Errors are printed whatever --quiet says.
  void error(const std::string& text);

 private:
  using Clock = std::chrono::steady_clock;
  void print_progress(bool last);
  void end_live_line();

  bool terminal_ = false;
  bool quiet_ = false;
  bool live_line_ = false;
  std::string what_;
  int64_t total_ = 0;
  int64_t done_ = 0;
  int64_t first_done_ = -1;  // what was there before this run (a resumed one)
  Clock::time_point started_;
  Clock::time_point printed_;
};

// Ctrl-C and SIGTERM set the flag that Console::interrupted() reads; another, 0.3 s later or more,
// ends the program.
// They go to a thread of their own. To be called first in main().
void take_interrupts();

}  // namespace headscope::cli
