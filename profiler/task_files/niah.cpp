#include <map>
#include <set>
#include <utility>

#include "outputs/input_error.h"
#include "profiler/haystack.h"
#include "profiler/needle.h"
#include "profiler/probes/haystack_windows.h"
#include "profiler/probes/question.h"
#include "profiler/task_files/json_lines.h"
#include "profiler/task_files/readers.h"
#include "profiler/tasks/sample_layout.h"
#include "profiler/tasks/task_family.h"

namespace headscope::profiler {
namespace {

constexpr int64_t kAnswerTokens = 50;  // as the needle tests of arXiv 2404.15574 allow

struct Cell {
  Question question;
  int64_t context_length = 0;
  double depth = 0.0;
};

Question question_at(const outputs::JsonField& record, int64_t line) {
  Needle needle;
  needle.id = "line " + std::to_string(line);
  needle.statement = record.at("needle").text();
  needle.question = record.has("retrieval_question") ? record.at("retrieval_question").text()
                                                     : record.at("question").text();
  needle.real_needle = text_or(record, "real_needle", needle.statement);
  needle.answer_prefix = text_or(record, "answer_prefix", "");
  needle.answer = text_or(record, "answer", needle.real_needle);
  needle.family = text_or(record, "family", "niah");
  if (needle.statement.empty() || needle.question.empty() || needle.answer.empty() ||
      needle.family.empty()) {
    throw InputError(record.where(), "text in needle, question, answer and family", "none");
  }
  if (find_answer(needle.statement, needle.real_needle) < 0) {
    throw InputError(record.where(), "a `real_needle` that stands in its `needle`",
                     "\"" + needle.real_needle + "\"");
  }
  Question question = question_of(needle);
  question.metric = metric_or(record, Metric::kRouge1Recall);
  question.max_new_tokens = kAnswerTokens;
  return question;
}

std::vector<int64_t> lengths_of(const outputs::JsonField& record, const TaskFileRequest& request) {
  if (record.has("context_length")) {
    return {record.at("context_length").integer(1, int64_t{1} << 40)};
  }
  if (request.context_lengths.empty()) {
    throw InputError(record.where(), "a context_length, or context lengths for every line", "none",
                     "Give --contexts.");
  }
  return request.context_lengths;
}

std::vector<double> depths_of(const outputs::JsonField& record, const TaskFileRequest& request) {
  if (record.has("depth_percent")) {
    const outputs::JsonField field = record.at("depth_percent");
    const double percent = field.number();
    if (!(percent >= 0.0 && percent <= 100.0)) {
      throw InputError(field.where(), "a number from 0 to 100", field.describe());
    }
    return {percent / 100.0};
  }
  if (request.depths.empty()) {
    throw InputError(record.where(), "a depth_percent, or depths for every line", "none",
                     "Give --depths.");
  }
  return request.depths;
}

std::vector<Cell> cells_of(const std::string& text, const TaskFileRequest& request) {
  std::vector<Cell> cells;
  for_each_json_line(text, request.path, [&](const outputs::JsonField& record, int64_t line) {
    const Question question = question_at(record, line);
    for (const int64_t length : lengths_of(record, request)) {
      for (const double depth : depths_of(record, request)) {
        cells.push_back({question, length, depth});
      }
    }
  });
  return cells;
}

}  // namespace

std::vector<TaskSample> read_niah(const std::string& text,
                                  const TaskFileRequest& request,
                                  const model::Tokenizer& tokenizer,
                                  const model::ChatTemplate& chat) {
  check_depths(request.depths);
  const std::vector<Cell> cells = cells_of(text, request);
  std::set<int64_t> lengths;
  for (const Cell& cell : cells) lengths.insert(cell.context_length);
  Haystack haystack =
      request.haystack.empty() ? Haystack::prose(request.seed) : Haystack::read(request.haystack);
  grow_for(haystack, {lengths.begin(), lengths.end()});
  SentenceTokens tokens(haystack, tokenizer);
  const PromptWriter writer(tokenizer, chat, request.prompt_format);

  std::vector<TaskSample> samples;
  std::map<std::pair<std::string, int64_t>, int64_t> counts;
  Draw draw(request.seed);
  for (const Cell& cell : cells) {
    const uint64_t window = draw.below(1 << 30);
    int64_t& count = counts[{cell.question.family, cell.context_length}];
    if (request.max_samples > 0 && count >= request.max_samples) continue;
    TaskSample sample =
        lay_sample(cell.question, tokens, {cell.context_length, cell.depth, window}, writer);
    sample.task = cell.question.family;
    sample.sample = count++;
    samples.push_back(std::move(sample));
  }
  return samples;
}

}  // namespace headscope::profiler
