#include "profiler/cli/console.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <thread>

namespace headscope::cli {
namespace {

std::atomic<bool> g_interrupted{false};
// timeout(1) and some launchers signal a program and right after that its whole group: one request.
constexpr auto kOneRequest = std::chrono::milliseconds(300);

std::string clock_text(double seconds) {
  const auto total = static_cast<long>(seconds + 0.5);
  char text[32];
  if (total >= 3600) {
    std::snprintf(text, sizeof text, "%ld:%02ld:%02ld", total / 3600, total / 60 % 60, total % 60);
  } else {
    std::snprintf(text, sizeof text, "%ld:%02ld", total / 60, total % 60);
  }
  return text;
}

}  // namespace

// Not a signal handler: its frame would lie on the stack of whichever thread computes, and oneDNN's
// AVX-512 products keep values further below the stack pointer than the 128 bytes that a frame
// spares. Every later thread inherits the mask.
void take_interrupts() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::thread([signals] {
    std::chrono::steady_clock::time_point asked;
    for (int signal = 0;;) {
      if (sigwait(&signals, &signal) != 0) continue;
      const auto now = std::chrono::steady_clock::now();
      if (!g_interrupted.exchange(true)) {
        asked = now;
      } else if (now - asked > kOneRequest) {
        _exit(130);
      }
    }
  }).detach();
}

Console::Console() : terminal_(isatty(STDERR_FILENO) != 0) {}

Console::~Console() {
  end_live_line();
}

void Console::begin(const std::string& what, int64_t total) {
  end_live_line();
  what_ = what;
  total_ = total;
  done_ = 0;
  first_done_ = -1;
  started_ = Clock::now();
  printed_ = started_;
}

void Console::advance(int64_t done) {
  // The first report may count what an earlier run had done; the rate must not.
  if (first_done_ < 0) first_done_ = done > 1 ? done : 0;
  done_ = done;
  const bool last = done >= total_;
  const auto interval =
      terminal_ ? std::chrono::milliseconds(200) : std::chrono::milliseconds(5000);
  if (last || Clock::now() - printed_ >= interval) print_progress(last);
}

void Console::print_progress(bool last) {
  printed_ = Clock::now();
  if (quiet_) return;
  const double elapsed = std::chrono::duration<double>(printed_ - started_).count();
  const double rate = static_cast<double>(done_ - first_done_) / (elapsed > 0 ? elapsed : 1e-9);
  std::string line = what_ + " " + std::to_string(done_) + "/" + std::to_string(total_);
  char text[64];
  std::snprintf(text, sizeof text, ", %.2f/s", rate);
  line += text;
  if (last) {
    line += ", took " + clock_text(elapsed);
  } else if (rate > 0) {
    line += ", ETA " + clock_text(static_cast<double>(total_ - done_) / rate);
  }
  if (terminal_) {
    std::fprintf(stderr, "\r\033[K%s", line.c_str());
    live_line_ = true;
    if (last) end_live_line();
  } else {
    std::fprintf(stderr, "%s\n", line.c_str());
  }
  std::fflush(stderr);
}

void Console::end_live_line() {
  if (live_line_) std::fputc('\n', stderr);
  live_line_ = false;
}

void Console::message(const std::string& text) {
  if (quiet_) return;
  end_live_line();
  std::fprintf(stderr, "%s\n", text.c_str());
}

void Console::error(const std::string& text) {
  end_live_line();
  std::fprintf(stderr, "headscope: %s\n", text.c_str());
}

bool Console::interrupted() const {
  return g_interrupted.load();
}

}  // namespace headscope::cli
