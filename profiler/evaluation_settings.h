// What an evaluation asks of each sample: the options, and the ways to answer that they come to.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "outputs/budget_plan.h"
#include "outputs/evaluation.h"
#include "profiler/task.h"

namespace headscope::profiler {

// The two rows that stand beside every method: everything kept, and tokens kept at random.
inline constexpr const char* kFullCache = "full";
inline constexpr const char* kRandomTokens = "random";

// The plan of `method` (or arm, or the user's plan of that label) at a mean of `budget_tokens` per
// KV head for `prompt_tokens` tokens to compress. Not asked where all of them fit the budget:
// nothing is evicted then, whatever the method; nor for the two rows above.
using PlanMaker = std::function<BudgetPlan(
    const std::string& method, int64_t budget_tokens, int64_t prompt_tokens)>;

struct EvaluateOptions {
  std::vector<std::string> methods = {"compresskv", "snapkv", "streaming"};
  // Variants of a method: names that PlanMaker knows, each run at every size as methods are.
  std::vector<std::string> arms;
  // Exactly one of the two; retentions are the kept share of the bytes of what is compressed, (0,
  // 1]; budgets are mean tokens per KV head, 2 or more.
  std::vector<double> retentions = {0.5, 0.25, 0.125};
  std::vector<int64_t> budgets;
  // Plans of the user's beside the methods: a label each ("plan:mine") and the plan's mean tokens
  // per KV head. Each is applied as it is, at its own budgets.
  std::vector<std::pair<std::string, int64_t>> plans;
  bool question_agnostic = false;  // compress before the question is known (evaluation.h)
  int64_t timed_samples = 1;       // >= 0: of each task and context, the first ones, per setting
  int64_t bootstrap_draws = 2000;  // 100..1000000: for the 95 % intervals over samples
  uint64_t seed = 0;               // of the bootstrap and of random tokens; samples carry their own
  int64_t chunk_tokens = 256;      // 16..65536: prompt tokens per pass
  double save_every_seconds = 30.0;  // > 0

  void validate() const;  // InputError
  [[nodiscard]] const char* compression() const {
    return question_agnostic ? kQuestionAgnostic : kQuestionAware;
  }
};

// One way to answer a sample.
struct EvaluationSetting {
  std::string method;
  double retention = 1.0;     // asked
  int64_t budget_tokens = 0;  // per KV head; 0 = everything
  [[nodiscard]] bool is_full() const { return method == kFullCache; }
  [[nodiscard]] bool is_random() const { return method == kRandomTokens; }
};

// Tokens of the sample that are compressed: its prompt, or its context.
[[nodiscard]] int64_t compressed_tokens(const TaskSample& sample, const EvaluateOptions& options);

// Full cache first, then every size of every method and arm, random tokens at the same sizes, and
// the user's plans; each once.
[[nodiscard]] std::vector<EvaluationSetting> settings_of(const TaskSample& sample,
                                                         const EvaluateOptions& options);

// What tells the outcomes of an evaluation apart.
using SampleKey = std::tuple<std::string, int64_t, int64_t, std::string, double>;
[[nodiscard]] SampleKey key_of(const EvaluationSample& sample);
[[nodiscard]] SampleKey key_of(const TaskSample& sample, const EvaluationSetting& setting);

}  // namespace headscope::profiler
