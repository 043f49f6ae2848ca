// The synthetic families, one file each, and the graded tasks that are made from them for
// calibration and evaluation. They hold nothing of any published evaluation set: the layer errors
// of CompressKV were measured on the very sets it was graded on, which is what these families
// avoid. To add one: a TaskFamily, named in task_registry.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "profiler/haystack.h"
#include "profiler/probes/question.h"
#include "profiler/prompt_format.h"
#include "profiler/task.h"
#include "profiler/tasks/task_family.h"

namespace headscope::profiler {

// "needle", "multi-key", "multi-value", "multi-query", "reasoning", "variable-tracking", "qa",
// "multi-qa", "summary", "few-shot", "code", "aggregation".
[[nodiscard]] std::vector<std::string> task_names();

// Those that a calibration averages over unless told otherwise: retrieval, question answering over
// several facts, summary, pattern, code.
[[nodiscard]] std::vector<std::string> default_task_names();

// The family of that name; `where` names the option in the InputError for an unknown one.
[[nodiscard]] std::unique_ptr<TaskFamily> find_family(const std::string& name,
                                                      const std::string& where);

// Question i of a family under a seed, ids "<family>-000", …; a paraphrased one has "-paraphrased"
// added to its family's name and the id of the literal one.
[[nodiscard]] Question write_question(const TaskFamily& family,
                                      uint64_t seed,
                                      int64_t index,
                                      Wording wording);

struct TaskRequest {
  std::string task;
  int64_t count = 1;             // samples, >= 1
  int64_t context_length = 512;  // tokens of the whole prompt: never more, and nearly so many
  uint64_t seed = 0;
  // 0..1, where the (first) statement stands: sample i takes depth i, from the first on again
  // beyond the last. Empty = drawn at random for every sample.
  std::vector<double> depths = {};
};

// Samples 0..count-1; sample i is the same whatever the count. `filler` replaces the built-in prose
// where a family stands in prose. InputError for an unknown task, a context too short for its
// question or a filler too short.
[[nodiscard]] std::vector<TaskSample> build_task_samples(const TaskRequest& request,
                                                         const PromptWriter& writer,
                                                         Haystack* filler = nullptr);

// One request after the other: every task at every context length.
struct TaskSetRequest {
  std::vector<std::string> tasks;
  std::vector<int64_t> context_lengths;
  int64_t count = 1;  // samples of each task and context length
  uint64_t seed = 0;
  std::vector<double> depths = {};
};

[[nodiscard]] std::vector<TaskSample> build_task_samples(const TaskSetRequest& request,
                                                         const PromptWriter& writer,
                                                         Haystack* filler = nullptr);

// Added to a run's seed, so that no plan is graded on prompts that it was made or chosen by:
// calibrate takes the seed as it is.
inline constexpr uint64_t kEvaluationSeeds = 1000003;
inline constexpr uint64_t kPlanCheckSeeds = 2000003;
inline constexpr uint64_t kTuneSeeds = 4000037;

}  // namespace headscope::profiler
