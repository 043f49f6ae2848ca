// Grades JSON lines {"metric", "answers", "response", "classes", "first_line"} from stdin; prints a
// score a line.
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "profiler/answer_metrics.h"

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    const nlohmann::json record = nlohmann::json::parse(line);
    headscope::profiler::TaskSample sample;
    sample.metric = headscope::profiler::metric_from_name(record["metric"], "metric");
    sample.accepted = record["answers"].get<std::vector<std::string>>();
    sample.classes = record["classes"].get<std::vector<std::string>>();
    sample.grades_first_line = record["first_line"];
    std::printf("%.17g\n", headscope::profiler::grade_response(sample, record["response"]));
  }
  return 0;
}
