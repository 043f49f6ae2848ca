#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "outputs/atomic_file.h"
#include "outputs/input_error.h"
#include "profiler/task_files/json_lines.h"
#include "profiler/task_files/readers.h"

namespace headscope::profiler {
namespace {

// As eval.py maps data sets to measures.
const std::map<std::string, Metric>& metrics() {
  static const std::map<std::string, Metric> table{
      {"narrativeqa", Metric::kF1},
      {"qasper", Metric::kF1},
      {"multifieldqa_en", Metric::kF1},
      {"hotpotqa", Metric::kF1},
      {"2wikimqa", Metric::kF1},
      {"musique", Metric::kF1},
      {"triviaqa", Metric::kF1},
      {"gov_report", Metric::kRougeL},
      {"qmsum", Metric::kRougeL},
      {"multi_news", Metric::kRougeL},
      {"samsum", Metric::kRougeL},
      {"trec", Metric::kClassification},
      {"lsht", Metric::kClassification},
      {"passage_count", Metric::kCount},
      {"passage_retrieval_en", Metric::kRetrieval},
      {"passage_retrieval_zh", Metric::kRetrieval},
      {"lcc", Metric::kEditSimilarity},
      {"repobench-p", Metric::kEditSimilarity},
  };
  return table;
}

bool is_graded_by_first_line(const std::string& data_set) {
  static const std::set<std::string> sets{"trec", "triviaqa", "samsum", "lsht"};
  return sets.count(data_set) > 0;
}

bool is_never_a_chat(const std::string& data_set) {
  return is_graded_by_first_line(data_set) || data_set == "lcc" || data_set == "repobench-p";
}

// LongBench-E's files are named "qasper_e"; prompts and measures are those of "qasper".
std::string base_name(const std::string& data_set) {
  return data_set.ends_with("_e") ? data_set.substr(0, data_set.size() - 2) : data_set;
}

std::filesystem::path find_table(const std::string& given,
                                 const std::string& task_file,
                                 const std::string& name,
                                 const std::string& option) {
  if (!given.empty()) return given;
  const std::filesystem::path folder = std::filesystem::path(task_file).parent_path();
  for (const std::filesystem::path& place :
       {folder / name, folder / "config" / name, folder / ".." / "config" / name}) {
    std::error_code ignored;
    if (std::filesystem::exists(place, ignored)) return place;
  }
  throw InputError(task_file, name + " beside it or in config/", "none",
                   "Name the file with " + option + ".");
}

// A prompt of LongBench's, cut at its places for context and input.
struct Template {
  std::string before;    // up to {context}
  std::string question;  // after it, {input} filled in
};

std::string replaced_once(std::string text, const std::string& slot, const std::string& value) {
  const size_t at = text.find(slot);
  return at == std::string::npos ? text : text.replace(at, slot.size(), value);
}

Template fill(const std::string& prompt, const std::string& input, const std::string& where) {
  constexpr std::string_view kContext = "{context}";
  const size_t at = prompt.find(kContext);
  if (at == std::string::npos) {
    throw InputError(where, "a prompt with {context}", "none");
  }
  return {replaced_once(prompt.substr(0, at), "{input}", input),
          replaced_once(prompt.substr(at + kContext.size()), "{input}", input)};
}

// Both halves of the tokens that are left, decoded: the middle is gone.
std::string without_middle(const std::string& text,
                           int64_t most_tokens,
                           const model::Tokenizer& tokenizer) {
  const std::vector<int64_t> ids = tokenizer.encode(text, {true, false}).ids;
  if (static_cast<int64_t>(ids.size()) <= most_tokens) return text;
  const auto half = static_cast<std::ptrdiff_t>(most_tokens / 2);
  return tokenizer.decode({ids.begin(), ids.begin() + half}) +
         tokenizer.decode({ids.end() - half, ids.end()});
}

class LongBenchReader {
 public:
  LongBenchReader(const TaskFileRequest& request,
                  const model::Tokenizer& tokenizer,
                  const model::ChatTemplate& chat)
      : request_(request),
        tokenizer_(tokenizer),
        usual_(tokenizer, chat, request.prompt_format),
        plain_(tokenizer, chat, FormatChoice::kRaw) {
    const auto prompts = find_table(request.prompt_table, request.path, "dataset2prompt.json",
                                    "--longbench-prompts");
    const auto lengths = find_table(request.length_table, request.path, "dataset2maxlen.json",
                                    "--longbench-lengths");
    const auto members = [](const std::filesystem::path& path, const auto& take) {
      const nlohmann::json parsed = outputs::parse_json(outputs::read_file(path), path.string());
      for (const auto& [name, field] : outputs::JsonField(parsed, path.string()).members()) {
        take(name, field);
      }
    };
    members(prompts, [&](const std::string& name, const outputs::JsonField& field) {
      prompts_[name] = field.text();
    });
    members(lengths, [&](const std::string& name, const outputs::JsonField& field) {
      lengths_[name] = field.integer(1, 1 << 20);
    });
  }

  void take(const outputs::JsonField& record) {
    const std::string task = record.at("dataset").text();
    int64_t& count = counts_[task];
    if (request_.max_samples > 0 && count >= request_.max_samples) return;
    TaskSample sample;
    sample.task = task;
    sample.sample = count++;
    set_grading(record, base_name(task), sample);
    write(record, base_name(task), sample);
    samples_.push_back(std::move(sample));
  }

  [[nodiscard]] std::vector<TaskSample> samples() && { return std::move(samples_); }

 private:
  static void set_grading(const outputs::JsonField& record,
                          const std::string& data_set,
                          TaskSample& sample) {
    const auto metric = metrics().find(data_set);
    if (metric == metrics().end()) {
      throw InputError(record.at("dataset").where(),
                       "a data set of LongBench v1 that is graded without cutting Chinese into "
                       "words",
                       "\"" + data_set + "\"");
    }
    sample.metric = metric->second;
    sample.accepted = texts_of(record.at("answers"));
    sample.grades_first_line = is_graded_by_first_line(data_set);
    sample.stop_at_newline = data_set == "samsum";
    if (sample.metric == Metric::kClassification) {
      sample.classes = texts_of(record.at("all_classes"));
    }
  }

  void write(const outputs::JsonField& record, const std::string& data_set, TaskSample& sample) {
    const auto prompt = prompts_.find(data_set);
    const auto length = lengths_.find(data_set);
    if (prompt == prompts_.end() || length == lengths_.end()) {
      throw InputError(prompt == prompts_.end() ? "the prompt table" : "the length table",
                       "an entry for \"" + data_set + "\"", "none");
    }
    sample.max_new_tokens = length->second;
    const Template filled =
        fill(prompt->second, record.at("input").text(), "the prompt of " + data_set);
    const std::string text =
        without_middle(filled.before + record.at("context").text() + filled.question,
                       most_prompt_tokens(request_, sample.max_new_tokens), tokenizer_);
    const bool is_plain =
        is_never_a_chat(data_set) && request_.prompt_format == FormatChoice::kAuto;
    set_prompt(is_plain ? plain_ : usual_, text, filled.question, "", sample);
  }

  const TaskFileRequest& request_;
  const model::Tokenizer& tokenizer_;
  PromptWriter usual_;
  PromptWriter plain_;
  std::map<std::string, std::string> prompts_;
  std::map<std::string, int64_t> lengths_;
  std::map<std::string, int64_t> counts_;
  std::vector<TaskSample> samples_;
};

}  // namespace

std::vector<TaskSample> read_longbench(const std::string& text,
                                       const TaskFileRequest& request,
                                       const model::Tokenizer& tokenizer,
                                       const model::ChatTemplate& chat) {
  LongBenchReader reader(request, tokenizer, chat);
  for_each_json_line(text, request.path,
                     [&](const outputs::JsonField& record, int64_t) { reader.take(record); });
  return std::move(reader).samples();
}

}  // namespace headscope::profiler
