// Synthetic task families for calibration and evaluation, one file each. They hold nothing of any
// published evaluation set: the layer errors of CompressKV were measured on the very sets it was
// graded on, which is what these families avoid. To add one: a TaskFamily, named in
// task_registry.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "profiler/haystack.h"
#include "profiler/prompt_format.h"
#include "profiler/task.h"

namespace headscope::profiler {

// "needle", "qa", "few-shot", "summary", "code".
[[nodiscard]] std::vector<std::string> task_names();

struct TaskRequest {
  std::string task;
  int64_t count = 1;             // samples, >= 1
  int64_t context_length = 512;  // tokens of the whole prompt: never more, and nearly so many
  uint64_t seed = 0;
};

// Samples 0..count-1; sample i is the same whatever the count. `filler` replaces the built-in prose
// where a family has filler ("needle", "qa"). InputError for an unknown task or a context too short
// for its question.
[[nodiscard]] std::vector<TaskSample> build_task_samples(const TaskRequest& request,
                                                         const PromptWriter& writer,
                                                         Haystack* filler = nullptr);

}  // namespace headscope::profiler
