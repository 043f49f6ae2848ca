#include "tests/support/program.h"

#include <sys/wait.h>

#include <fstream>
#include <sstream>
#include <stdexcept>

#include "tests/support/child_process.h"
#include "tests/support/scratch_folder.h"

namespace headscope::testing {
namespace {

std::string shell_quoted(const std::string& word) {
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

}  // namespace

ProgramResult run_headscope(const std::vector<std::string>& arguments, const std::string& before) {
  const ScratchFolder scratch;
  std::string command = before + " " + shell_quoted(program_path());
  for (const std::string& argument : arguments) command += " " + shell_quoted(argument);
  command += " >" + shell_quoted(scratch.file("out")) + " 2>" + shell_quoted(scratch.file("err"));
  const int status = std::system(("bash -c " + shell_quoted(command)).c_str());
  ProgramResult result;
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.out = read_text(scratch.file("out"));
  result.err = read_text(scratch.file("err"));
  return result;
}

void write_text(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace headscope::testing
