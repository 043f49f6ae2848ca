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

std::vector<EvaluationSample> SampleRunner::answers(std::span<const PlannedSetting> settings) {
  std::vector<std::unique_ptr<runtime::KvCache>> held;
  std::vector<runtime::KvCache*> caches;
  std::vector<int64_t> first, bytes;
  for (const PlannedSetting& planned : settings) {
    held.push_back(planned.first.is_full() ? nullptr : compressed(planned));
    caches.push_back(held.back() ? held.back().get() : full_.get());
  }
  for (runtime::KvCache* cache : caches) {  // all are compressed before one reads on
    first.push_back(first_token(*cache));
    bytes.push_back(cache->bytes_held());
  }
  const AnswerLimits limits{.max_tokens = sample_.max_new_tokens,
                            .stop_at_newline = sample_.stop_at_newline};
  const std::vector<AnswerEnd> ends = decode_side_by_side(model_, caches, first, limits);
  std::vector<EvaluationSample> results;
  for (size_t i = 0; i < settings.size(); ++i) {
    results.push_back(result_of(settings[i].first, bytes[i], ends[i].text()));
  }
  full_->truncate(compressed_tokens(sample_, options_));
  return results;
}

std::unique_ptr<runtime::KvCache> SampleRunner::compressed(const PlannedSetting& planned) const {
  const auto& [setting, plan] = planned;
  if (setting.is_random() && setting.budget_tokens > 0) {
    return keep_random_tokens(*full_, setting.budget_tokens,
                              control_seed(sample_, setting.budget_tokens, options_.seed));
  }
  return runtime::compress(*full_, plan);
}

int64_t SampleRunner::first_token(runtime::KvCache& cache) const {
  if (!options_.question_agnostic) return first_token_;
  const auto question =
      std::span<const int64_t>(sample_.prompt).subspan(static_cast<size_t>(sample_.context_tokens));
  return greedy_choice(read_further(model_, question, cache, options_.chunk_tokens));
}

EvaluationSample SampleRunner::result_of(const EvaluationSetting& setting,
                                         int64_t kv_bytes,
                                         const std::string& response) const {
  const int64_t tokens = compressed_tokens(sample_, options_);
  EvaluationSample result;
  result.task = sample_.task;
  result.method = setting.method;
  result.metric = name_of(sample_.metric);
  result.compression = options_.compression();
  result.context_length = sample_.context_length;
  result.retention = setting.retention;
  result.sample = sample_.sample;
  result.depth = sample_.depth;
  result.prompt_tokens = static_cast<int64_t>(sample_.prompt.size());
  result.budget_tokens = setting.budget_tokens == 0 ? tokens : setting.budget_tokens;
  result.kv_bytes = kv_bytes;
  result.expected = valid_utf8(join_answers(sample_.accepted));
  result.response = response;
  result.score = grade_response(sample_, response);
  return result;
}

}  // namespace headscope::profiler
