#include "profiler/tasks/task_registry.h"

#include <cmath>
#include <iterator>
#include <memory>

#include "outputs/input_error.h"
#include "profiler/probes/haystack_windows.h"
#include "profiler/tasks/sample_layout.h"

namespace headscope::profiler {
namespace {

std::vector<std::unique_ptr<TaskFamily>> all_families() {
  std::vector<std::unique_ptr<TaskFamily>> families;
  families.push_back(make_needle_family());
  families.push_back(make_multi_key_family());
  families.push_back(make_multi_value_family());
  families.push_back(make_multi_query_family());
  families.push_back(make_reasoning_family());
  families.push_back(make_variable_tracking_family());
  families.push_back(make_qa_family());
  families.push_back(make_multi_qa_family());
  families.push_back(make_summary_family());
  families.push_back(make_few_shot_family());
  families.push_back(make_code_family());
  families.push_back(make_aggregation_family());
  return families;
}

// A seed of its own for every sample (the finaliser of SplitMix64).
uint64_t sample_seed(uint64_t seed, int64_t sample) {
  uint64_t mixed = seed + 0x9E3779B97F4A7C15ULL * (static_cast<uint64_t>(sample) + 1);
  mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9ULL;
  mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBULL;
  return mixed ^ (mixed >> 31);
}

std::string padded(int64_t number) {
  const std::string digits = std::to_string(number);
  return std::string(digits.size() < 3 ? 3 - digits.size() : 0, '0') + digits;
}

}  // namespace

std::unique_ptr<TaskFamily> find_family(const std::string& name, const std::string& where) {
  std::string known;
  for (std::unique_ptr<TaskFamily>& family : all_families()) {
    if (family->name() == name) {
      return std::move(family);
    }
    known += (known.empty() ? "" : ", ") + family->name();
  }
  throw InputError(where, "one of " + known, "\"" + name + "\"");
}

std::vector<std::string> task_names() {
  std::vector<std::string> names;
  for (const std::unique_ptr<TaskFamily>& family : all_families()) {
    names.push_back(family->name());
  }
  return names;
}

std::vector<std::string> default_task_names() {
  return {"needle", "multi-qa", "summary", "few-shot", "code"};
}

Question write_question(const TaskFamily& family, uint64_t seed, int64_t index, Wording wording) {
  Question question = family.write(sample_seed(seed, index), wording);
  question.id = family.name() + "-" + padded(index);
  question.family = family.name() + (wording == Wording::kParaphrased ? "-paraphrased" : "");
  return question;
}

std::vector<TaskSample> build_task_samples(const TaskRequest& request,
                                           const PromptWriter& writer,
                                           Haystack* filler) {
  const std::unique_ptr<TaskFamily> family = find_family(request.task, "--tasks");
  if (request.count < 1) {
    throw InputError("samples of task " + request.task, "at least 1",
                     std::to_string(request.count));
  }
  check_context_lengths({request.context_length});
  check_depths(request.depths);
  Haystack own = family->filler(request.seed);
  Haystack& haystack = filler != nullptr && family->stands_in_prose() ? *filler : own;
  grow_for(haystack, {request.context_length});
  SentenceTokens tokens(haystack, writer.tokenizer());
  std::vector<TaskSample> samples;
  for (int64_t i = 0; i < request.count; ++i) {
    const Question question = write_question(*family, request.seed, i, Wording::kLiteral);
    Draw draw(sample_seed(~request.seed, i));
    // Drawn in any case, so that windows do not depend on how depths are chosen.
    double depth = static_cast<double>(draw.below(1001)) / 1000.0;
    if (!request.depths.empty()) {
      depth = request.depths[static_cast<size_t>(i) % request.depths.size()];
    }
    TaskSample sample =
        lay_sample(question, tokens, {request.context_length, depth, draw.below(1 << 30)}, writer);
    sample.task = request.task;
    sample.sample = i;
    if (request.depths.empty()) sample.depth = std::nan("");
    samples.push_back(std::move(sample));
  }
  return samples;
}

std::vector<TaskSample> build_task_samples(const TaskSetRequest& request,
                                           const PromptWriter& writer,
                                           Haystack* filler) {
  std::vector<TaskSample> samples;
  for (const std::string& task : request.tasks) {
    for (const int64_t context_length : request.context_lengths) {
      std::vector<TaskSample> built = build_task_samples(
          TaskRequest{task, request.count, context_length, request.seed, request.depths}, writer,
          filler);
      samples.insert(samples.end(), std::make_move_iterator(built.begin()),
                     std::make_move_iterator(built.end()));
    }
  }
  return samples;
}

}  // namespace headscope::profiler
