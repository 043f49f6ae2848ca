#include "profiler/tasks/task_registry.h"

#include <algorithm>
#include <memory>

#include "outputs/input_error.h"
#include "profiler/tasks/task_family.h"

namespace headscope::profiler {
namespace {

std::vector<std::unique_ptr<TaskFamily>> all_families() {
  std::vector<std::unique_ptr<TaskFamily>> families;
  families.push_back(make_needle_task());
  families.push_back(make_qa_task());
  families.push_back(make_few_shot_task());
  families.push_back(make_summary_task());
  families.push_back(make_code_task());
  return families;
}

std::unique_ptr<TaskFamily> find_family(const std::string& name) {
  std::string known;
  for (std::unique_ptr<TaskFamily>& family : all_families()) {
    if (family->name() == name) {
      return std::move(family);
    }
    known += (known.empty() ? "" : ", ") + family->name();
  }
  throw InputError("--tasks", "one of " + known, "\"" + name + "\"");
}

// A seed of its own for every sample (the finaliser of SplitMix64).
uint64_t sample_seed(uint64_t seed, int64_t sample) {
  uint64_t mixed = seed + 0x9E3779B97F4A7C15ULL * (static_cast<uint64_t>(sample) + 1);
  mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9ULL;
  mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBULL;
  return mixed ^ (mixed >> 31);
}

struct WrittenTask {
  TaskText text;
  std::vector<int64_t> prompt;
};

WrittenTask write_units(const TaskFamily& family,
                        uint64_t seed,
                        int64_t num_units,
                        const Filler& filler,
                        const PromptWriter& writer) {
  WrittenTask written;
  written.text = family.write(seed, num_units, filler);
  const TaskText& text = written.text;
  const PromptText prompt =
      text.instruction.empty()
          ? writer.write(text.context, text.question, text.answer_prefix)
          : writer.write_task(text.context, text.instruction, text.question, text.answer_prefix);
  written.prompt = writer.encode(prompt.text).ids;
  return written;
}

// The largest context that fits: between a size that does and one that does not, guess by the
// tokens a unit had so far.
WrittenTask fit_task(const TaskFamily& family,
                     uint64_t seed,
                     int64_t context_length,
                     const Filler& filler,
                     const PromptWriter& writer) {
  WrittenTask best = write_units(family, seed, 0, filler, writer);
  const auto empty_size = static_cast<int64_t>(best.prompt.size());
  if (empty_size > context_length) {
    throw InputError("context length for task " + family.name(),
                     "at least the " + std::to_string(empty_size) + " tokens of its question",
                     std::to_string(context_length));
  }
  int64_t fits = 0;
  int64_t too_many = context_length - empty_size + 1;  // a unit has at least one token
  int64_t fits_size = empty_size;
  double tokens_per_unit = 24.0;
  while (fits + 1 < too_many) {
    const auto more =
        static_cast<int64_t>(static_cast<double>(context_length - fits_size) / tokens_per_unit);
    const int64_t n = std::clamp(fits + more, fits + 1, too_many - 1);
    WrittenTask written = write_units(family, seed, n, filler, writer);
    const auto size = static_cast<int64_t>(written.prompt.size());
    tokens_per_unit =
        std::max(1.0, static_cast<double>(size - empty_size) / static_cast<double>(n));
    if (size > context_length) {
      too_many = n;
    } else {
      fits = n;
      fits_size = size;
      best = std::move(written);
    }
  }
  return best;
}

}  // namespace

std::vector<std::string> task_names() {
  std::vector<std::string> names;
  for (const std::unique_ptr<TaskFamily>& family : all_families()) {
    names.push_back(family->name());
  }
  return names;
}

std::vector<TaskSample> build_task_samples(const TaskRequest& request,
                                           const PromptWriter& writer,
                                           Haystack* filler) {
  const std::unique_ptr<TaskFamily> family = find_family(request.task);
  if (request.count < 1) {
    throw InputError("samples of task " + request.task, "at least 1",
                     std::to_string(request.count));
  }
  std::vector<TaskSample> samples;
  for (int64_t i = 0; i < request.count; ++i) {
    WrittenTask written = fit_task(*family, sample_seed(request.seed, i), request.context_length,
                                   Filler(filler), writer);
    TaskSample sample;
    sample.task = request.task;
    sample.sample = i;
    sample.context_length = request.context_length;
    sample.prompt = std::move(written.prompt);
    sample.accepted = std::move(written.text.accepted);
    sample.metric = written.text.metric;
    sample.max_new_tokens = written.text.max_new_tokens;
    samples.push_back(std::move(sample));
  }
  return samples;
}

}  // namespace headscope::profiler
