// Graded samples from a file of the user's: evaluation sets that others publish, as they publish
// them. Nothing of them is built in, and nothing read here reaches a profile or a plan.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "profiler/prompt_format.h"
#include "profiler/task.h"

namespace headscope::profiler {

enum class TaskFileFormat { kLongBench, kRuler, kNiah };

// "longbench", "ruler", "niah"; InputError for anything else.
[[nodiscard]] TaskFileFormat parse_task_file_format(const std::string& name);

struct TaskFileRequest {
  std::string path;  // JSON lines
  TaskFileFormat format = TaskFileFormat::kLongBench;
  FormatChoice prompt_format = FormatChoice::kAuto;
  int64_t max_samples = 0;  // of each task, the first ones; 0 = all
  // longbench: tables from a data set's name to its prompt and to its most new tokens; empty =
  // dataset2prompt.json and dataset2maxlen.json beside the file, or in config/ beside it or one
  // folder up.
  std::string prompt_table;
  std::string length_table;
  // longbench, ruler: most tokens of a prompt, at least 16. longbench cuts the middle out of longer
  // ones, before a chat template is put around; ruler refuses them. 0 = what the model's positions
  // leave beside the answer (position_limit, where that is known).
  int64_t max_prompt_tokens = 0;
  int64_t position_limit = 0;  // 0 = not known
  // niah: cells of the lines that name none of their own.
  std::vector<int64_t> context_lengths;
  std::vector<double> depths;  // 0..1
  std::string haystack;        // a file or folder; empty = built-in prose
  uint64_t seed = 0;           // of prose and windows
};

// Every sample's `context_length` is what was asked for (niah) or the longest prompt of its task.
// InputError naming file and line for a line that is no such record; naming file and task for a
// table that lacks it, a prompt that does not fit, or a file without samples.
[[nodiscard]] std::vector<TaskSample> read_task_file(const TaskFileRequest& request,
                                                     const model::Tokenizer& tokenizer,
                                                     const model::ChatTemplate& chat);

}  // namespace headscope::profiler
