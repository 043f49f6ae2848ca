// A process of this test's own, which can be watched and killed.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

namespace headscope::testing {

class ChildProcess {
 public:
  // `words`: the program's path and its arguments. stdout goes to the file `out`. `environment` is
  // added to this process's own; an empty value takes a variable away.
  ChildProcess(const std::vector<std::string>& words,
               const std::string& out,
               const std::map<std::string, std::string>& environment = {});
  ~ChildProcess();  // killed where it still runs
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ChildProcess& operator=(ChildProcess&&) = delete;

  [[nodiscard]] pid_t id() const { return id_; }
  void signal(int number);
  // True once it has ended.
  [[nodiscard]] bool ended();
  // Waits for the end: the exit code, or minus the signal that ended it.
  int wait();

 private:
  void take(int status);

  pid_t id_ = -1;
  bool ended_ = false;
  int code_ = 0;
};

// The program under test (HEADSCOPE_PROGRAM).
[[nodiscard]] std::string program_path();

// A TCP port of this machine that nobody listens at.
[[nodiscard]] int free_port();

}  // namespace headscope::testing
