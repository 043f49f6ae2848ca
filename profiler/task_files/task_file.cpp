#include "profiler/task_files/task_file.h"

#include <algorithm>
#include <map>

#include "outputs/atomic_file.h"
#include "outputs/input_error.h"
#include "profiler/task_files/readers.h"

namespace headscope::profiler {
namespace {

constexpr int64_t kMostBytes = int64_t{1} << 32;

// Tasks whose prompts come as they are have the length of their longest.
void label_lengths(std::vector<TaskSample>& samples) {
  std::map<std::string, int64_t> longest;
  for (const TaskSample& sample : samples) {
    int64_t& most = longest[sample.task];
    most = std::max(most, static_cast<int64_t>(sample.prompt.size()));
  }
  for (TaskSample& sample : samples) sample.context_length = longest[sample.task];
}

}  // namespace

TaskFileFormat parse_task_file_format(const std::string& name) {
  if (name == "longbench") return TaskFileFormat::kLongBench;
  if (name == "ruler") return TaskFileFormat::kRuler;
  if (name == "niah") return TaskFileFormat::kNiah;
  throw InputError("--task-format", "longbench, ruler or niah", "\"" + name + "\"");
}

void set_prompt(const PromptWriter& writer,
                const std::string& text,
                const std::string& question,
                const std::string& answer_prefix,
                TaskSample& sample) {
  // Raw text is kept to the byte: an answer may have to follow its last space.
  const PromptText prompt = writer.is_chat() ? writer.write_task(text, "", "", answer_prefix)
                                             : PromptText{text + answer_prefix, {}};
  model::Encoding encoding = writer.encode(prompt.text);
  const size_t end = question.find_last_not_of(" \t\r\n");
  const size_t at =
      end == std::string::npos ? std::string::npos : prompt.text.rfind(question.substr(0, end + 1));
  if (at != std::string::npos) {
    sample.context_tokens = tokens_before(encoding, static_cast<int64_t>(at));
  }
  sample.prompt = std::move(encoding.ids);
}

Metric metric_or(const outputs::JsonField& record, Metric usual) {
  if (!record.has("metric")) return usual;
  const outputs::JsonField field = record.at("metric");
  const Metric metric = metric_from_name(field.text(), field.where());
  if (metric == Metric::kClassification) {
    throw InputError(field.where(), "a metric that needs no classes", field.describe());
  }
  return metric;
}

int64_t most_prompt_tokens(const TaskFileRequest& request, int64_t max_new_tokens) {
  constexpr int64_t kLeast = 16;
  int64_t most = request.max_prompt_tokens;
  if (most == 0) {
    most = request.position_limit > 0 ? request.position_limit - max_new_tokens : int64_t{1} << 40;
  }
  if (most < kLeast) {
    throw InputError(request.path, "room for a prompt of " + std::to_string(kLeast) + " tokens",
                     std::to_string(most) + " beside an answer of " +
                         std::to_string(max_new_tokens) + " tokens");
  }
  return most;
}

std::vector<TaskSample> read_task_file(const TaskFileRequest& request,
                                       const model::Tokenizer& tokenizer,
                                       const model::ChatTemplate& chat) {
  const std::string text = outputs::read_file(request.path, kMostBytes);
  if (request.format == TaskFileFormat::kNiah) return read_niah(text, request, tokenizer, chat);
  std::vector<TaskSample> samples = request.format == TaskFileFormat::kLongBench
                                        ? read_longbench(text, request, tokenizer, chat)
                                        : read_ruler(text, request, tokenizer, chat);
  label_lengths(samples);
  return samples;
}

}  // namespace headscope::profiler
