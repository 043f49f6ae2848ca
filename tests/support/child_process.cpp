#include "tests/support/child_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <utility>

namespace headscope::testing {

ChildProcess::ChildProcess(const std::vector<std::string>& words,
                           const std::string& out,
                           const std::map<std::string, std::string>& environment) {
  std::vector<std::string> copies = words;
  std::vector<char*> argv;
  for (std::string& word : copies) argv.push_back(word.data());
  argv.push_back(nullptr);
  id_ = fork();
  if (id_ < 0) throw std::runtime_error("no process could be started");
  if (id_ > 0) return;
  for (const auto& [name, value] : environment) {
    if (value.empty()) {
      ::unsetenv(name.c_str());
    } else {
      ::setenv(name.c_str(), value.c_str(), 1);
    }
  }
  const int file = ::open(out.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0644);
  ::dup2(file, STDOUT_FILENO);
  ::execv(argv[0], argv.data());
  ::_exit(127);
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : id_(std::exchange(other.id_, -1)), ended_(other.ended_), code_(other.code_) {}

ChildProcess::~ChildProcess() {
  if (id_ < 0 || ended_) return;
  ::kill(id_, SIGKILL);
  ::waitpid(id_, nullptr, 0);
}

void ChildProcess::signal(int number) {
  if (!ended_) ::kill(id_, number);
}

void ChildProcess::take(int status) {
  ended_ = true;
  code_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

bool ChildProcess::ended() {
  int status = 0;
  if (!ended_ && ::waitpid(id_, &status, WNOHANG) == id_) take(status);
  return ended_;
}

int ChildProcess::wait() {
  int status = 0;
  if (!ended_ && ::waitpid(id_, &status, 0) == id_) take(status);
  return code_;
}

std::string program_path() {
  const char* program = std::getenv("HEADSCOPE_PROGRAM");
  if (program == nullptr)
    throw std::runtime_error("HEADSCOPE_PROGRAM is not set; run through ctest");
  return program;
}

int free_port() {
  const int file = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  const bool bound = ::bind(file, generic, size) == 0 && ::getsockname(file, generic, &size) == 0;
  ::close(file);
  if (!bound) throw std::runtime_error("no free port");
  return ntohs(address.sin_port);
}

}  // namespace headscope::testing
