#include "tests/benchmarks/python_run.h"

#include <cstdlib>
#include <fstream>
#include <stdexcept>

#include "profiler/temporary_folder.h"

namespace headscope::benchmarks {
namespace {

std::string quoted(const std::string& text) {
  std::string shell = "'";
  for (const char c : text) shell += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return shell + "'";
}

}  // namespace

nlohmann::json run_python(const std::string& python,
                          const std::string& script,
                          const nlohmann::json& job) {
  const profiler::TemporaryFolder folder;
  const std::string job_path = (folder.path() / "job.json").string();
  const std::string result_path = (folder.path() / "result.json").string();
  std::ofstream(job_path) << job;
  const std::string path = std::string(HEADSCOPE_BENCHMARK_SCRIPTS) + "/" + script;
  const std::string command =
      quoted(python) + " " + quoted(path) + " " + quoted(job_path) + " " + quoted(result_path);
  if (std::system(command.c_str()) != 0) throw std::runtime_error(script + " failed");
  std::ifstream result(result_path);
  return nlohmann::json::parse(result);
}

}  // namespace headscope::benchmarks
