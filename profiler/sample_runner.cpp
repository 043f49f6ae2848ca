#include "profiler/sample_runner.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <span>
#include <string>

#include "profiler/answer_metrics.h"
#include "profiler/greedy_answer.h"
#include "profiler/random_control.h"
#include "runtime/compressor.h"

namespace headscope::profiler {
namespace {

std::string join_answers(const std::vector<std::string>& answers) {
  std::string text;
  for (const std::string& answer : answers) text += (text.empty() ? "" : " | ") + answer;
  return text;
}

// A draw of its own for every sample and budget, the same whatever else is run.
uint64_t control_seed(const TaskSample& sample, int64_t budget_tokens, uint64_t seed) {
  const std::string key = sample.task + "/" + std::to_string(sample.context_length) + "/" +
                          std::to_string(sample.sample) + "/" + std::to_string(budget_tokens);
  uint64_t hash = 14695981039346656037ULL ^ seed;  // FNV-1a
  for (const char byte : key) {
    hash = (hash ^ static_cast<unsigned char>(byte)) * 1099511628211ULL;
  }
  return hash;
}

}  // namespace

SampleRunner::SampleRunner(const MeasuredModel& model,
                           const TaskSample& sample,
                           const EvaluateOptions& options,
                           const runtime::FullKvCacheOptions& remembers)
    : model_(model), sample_(sample), options_(options) {
  full_ = std::make_unique<runtime::FullKvCache>(model_.identity.shape.num_layers, remembers);
  const auto tokens = static_cast<size_t>(compressed_tokens(sample, options));
  first_token_ =
      greedy_choice(model_.decoder.prefill(std::span<const int64_t>(sample.prompt).first(tokens),
                                           *full_, {.chunk_tokens = options.chunk_tokens}));
}

EvaluationSample SampleRunner::answer(const EvaluationSetting& setting, const BudgetPlan& plan) {
  EvaluationSample result;
  if (setting.is_full()) {
    result = decode(*full_);
    full_->truncate(compressed_tokens(sample_, options_));
  } else if (setting.is_random() && setting.budget_tokens > 0) {
    result =
        decode(*keep_random_tokens(*full_, setting.budget_tokens,
                                   control_seed(sample_, setting.budget_tokens, options_.seed)));
  } else {
    result = decode(*runtime::compress(*full_, plan));
  }
  result.method = setting.method;
  result.retention = setting.retention;
  const int64_t tokens = compressed_tokens(sample_, options_);
  result.budget_tokens = setting.budget_tokens == 0 ? tokens : setting.budget_tokens;
  return result;
}

EvaluationSample SampleRunner::decode(runtime::KvCache& cache) {
  int64_t first = first_token_;
  if (options_.question_agnostic) {
    const auto question = std::span<const int64_t>(sample_.prompt)
                              .subspan(static_cast<size_t>(sample_.context_tokens));
    first = greedy_choice(read_further(model_, question, cache, options_.chunk_tokens));
  }
  EvaluationSample result;
  result.task = sample_.task;
  result.metric = name_of(sample_.metric);
  result.compression = options_.compression();
  result.context_length = sample_.context_length;
  result.sample = sample_.sample;
  result.depth = sample_.depth;
  result.prompt_tokens = static_cast<int64_t>(sample_.prompt.size());
  result.kv_bytes = cache.bytes_held();
  const AnswerEnd end = decode_greedily(
      model_, cache, first,
      {.max_tokens = sample_.max_new_tokens, .stop_at_newline = sample_.stop_at_newline});
  result.expected = valid_utf8(join_answers(sample_.accepted));
  result.response = end.text();
  result.score = grade_response(sample_, result.response);
  return result;
}

}  // namespace headscope::profiler
