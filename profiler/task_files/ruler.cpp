#include <array>
#include <filesystem>
#include <map>
#include <string_view>
#include <utility>

#include "outputs/input_error.h"
#include "profiler/task_files/json_lines.h"
#include "profiler/task_files/readers.h"

namespace headscope::profiler {
namespace {

// tokens_to_generate of RULER's task kinds, by how the names of their tasks begin.
int64_t answer_tokens(const std::string& task) {
  constexpr std::array<std::pair<std::string_view, int64_t>, 5> kKinds{
      {{"niah", 128}, {"vt", 30}, {"cwe", 120}, {"fwe", 50}, {"qa", 32}}};
  for (const auto& [kind, tokens] : kKinds) {
    if (task.starts_with(kind)) return tokens;
  }
  return 128;
}

std::string task_of(const std::string& path) {
  const std::filesystem::path file(path);
  const std::string name = file.stem().string();
  const bool is_split = name == "validation" || name == "test" || name == "train";
  const std::string folder = file.parent_path().filename().string();
  return is_split && !folder.empty() ? folder : name;
}

// The last line with anything on it.
std::string last_line(const std::string& text) {
  const size_t end = text.find_last_not_of(" \t\r\n");
  if (end == std::string::npos) return "";
  const size_t before = text.rfind('\n', end);
  return text.substr(before == std::string::npos ? 0 : before + 1);
}

TaskSample sample_of(const outputs::JsonField& record,
                     const TaskFileRequest& request,
                     const PromptWriter& usual,
                     const PromptWriter& plain) {
  TaskSample sample;
  sample.task = text_or(record, "task", task_of(request.path));
  sample.accepted = texts_of(record.at("outputs"));
  sample.metric =
      metric_or(record, sample.task.starts_with("qa") ? Metric::kContains : Metric::kContainsAll);
  sample.max_new_tokens = record.has("max_new_tokens")
                              ? record.at("max_new_tokens").integer(1, 1 << 20)
                              : answer_tokens(sample.task);
  sample.stop_at_newline = false;
  const std::string input = record.at("input").text();
  const std::string prefix = text_or(record, "answer_prefix", "");
  const bool is_plain = prefix.empty() && request.prompt_format == FormatChoice::kAuto;
  set_prompt(is_plain ? plain : usual, input, last_line(input), prefix, sample);
  const int64_t most = most_prompt_tokens(request, sample.max_new_tokens);
  if (static_cast<int64_t>(sample.prompt.size()) > most) {
    throw InputError(record.where(), "a prompt of at most " + std::to_string(most) + " tokens",
                     std::to_string(sample.prompt.size()),
                     "RULER's prompts are not cut: prepare shorter ones.");
  }
  return sample;
}

}  // namespace

std::vector<TaskSample> read_ruler(const std::string& text,
                                   const TaskFileRequest& request,
                                   const model::Tokenizer& tokenizer,
                                   const model::ChatTemplate& chat) {
  const PromptWriter usual(tokenizer, chat, request.prompt_format);
  const PromptWriter plain(tokenizer, chat, FormatChoice::kRaw);
  std::vector<TaskSample> samples;
  std::map<std::string, int64_t> counts;
  for_each_json_line(text, request.path, [&](const outputs::JsonField& record, int64_t) {
    TaskSample sample = sample_of(record, request, usual, plain);
    int64_t& count = counts[sample.task];
    if (request.max_samples > 0 && count >= request.max_samples) return;
    sample.sample = count++;
    samples.push_back(std::move(sample));
  });
  return samples;
}

}  // namespace headscope::profiler
