#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "outputs/input_error.h"
#include "profiler/answer_metrics.h"
#include "profiler/task_files/task_file.h"
#include "tests/profiler/planted_setup.h"
#include "tests/support/shared_data.h"

namespace headscope::testing {
namespace {

using profiler::Metric;
using profiler::TaskFileFormat;
using profiler::TaskFileRequest;
using profiler::TaskSample;

struct Files {
  PlantedSetup planted;

  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(planted.folder / name) << text;
    return planted.folder / name;
  }

  TaskFileRequest request(TaskFileFormat format, const std::string& text) const {
    TaskFileRequest made;
    made.format = format;
    made.path = write("tasks.jsonl", text);
    return made;
  }

  // LongBench's tables with the sets of these tests, in config/ beside the file.
  TaskFileRequest longbench(const std::string& text) const {
    std::filesystem::create_directories(planted.folder / "config");
    write("config/dataset2prompt.json",
          R"({"qasper": "Read this.\n\n{context}\n\nQuestion: {input}\nAnswer:",
              "trec": "{context}\n{input}", "lcc": "Complete.\n{context}Next line of code:\n",
              "samsum": "{context}\n{input}", "dureader": "{context}{input}",
              "passage_count": "{context}\n\nThe final answer is: "})");
    write("config/dataset2maxlen.json",
          R"({"qasper": 128, "trec": 64, "lcc": 64, "samsum": 128, "dureader": 128,
              "passage_count": 32})");
    return request(TaskFileFormat::kLongBench, text);
  }

  std::vector<TaskSample> read(const TaskFileRequest& request) const {
    return profiler::read_task_file(request, *planted.tokenizer, planted.source->chat_template());
  }

  std::string text_of(const TaskSample& sample) const {
    return planted.tokenizer->decode(sample.prompt);
  }
  std::string question_of(const TaskSample& sample) const {
    return planted.tokenizer->decode(
        {sample.prompt.begin() + static_cast<std::ptrdiff_t>(sample.context_tokens),
         sample.prompt.end()});
  }

  // The complaint about a file.
  std::string complaint(const TaskFileRequest& request) const {
    try {
      static_cast<void>(read(request));
    } catch (const InputError& error) {
      return error.what();
    }
    return "";
  }
};

std::string longbench_line(const std::string& data_set, const std::string& rest) {
  return R"({"dataset": ")" + data_set + R"(", "context": "The cat sat on the mat.", )" +
         R"("input": "Who sat?", "length": 6, "language": "en", )" + rest + "}\n";
}

}  // namespace

TEST_CASE("a LongBench line becomes its data set's prompt", "[profiler]") {
  const Files files;
  const auto samples =
      files.read(files.longbench(longbench_line("qasper", R"("answers": ["the cat", "a cat"])")));
  REQUIRE(samples.size() == 1);
  const TaskSample& sample = samples.front();
  CHECK(files.text_of(sample) ==
        "Read this.\n\nThe cat sat on the mat.\n\nQuestion: Who sat?\nAnswer:");
  CHECK(files.question_of(sample).find("Question: Who sat?") != std::string::npos);
  CHECK(files.question_of(sample).find("mat") == std::string::npos);
  CHECK(sample.task == "qasper");
  CHECK(sample.metric == Metric::kF1);
  CHECK(sample.accepted == std::vector<std::string>{"the cat", "a cat"});
  CHECK(sample.max_new_tokens == 128);
  CHECK(sample.context_length == static_cast<int64_t>(sample.prompt.size()));
  CHECK_FALSE(sample.stop_at_newline);
  CHECK_FALSE(sample.grades_first_line);
}

TEST_CASE("LongBench sets are graded and stopped as its programs do it", "[profiler]") {
  const Files files;
  const std::string text =
      longbench_line("trec", R"("answers": ["Date"], "all_classes": ["Date", "Food"])") + "\n" +
      longbench_line("samsum", R"("answers": ["A cat sat."], "all_classes": null)") +
      longbench_line("lcc", R"("answers": ["return 5"])") +
      longbench_line("passage_count", R"("answers": ["3"])") +
      longbench_line("trec", R"("answers": ["Food"], "all_classes": ["Date", "Food"])");
  TaskFileRequest request = files.longbench(text);
  const auto samples = files.read(request);
  REQUIRE(samples.size() == 5);
  CHECK(samples[0].metric == Metric::kClassification);
  CHECK(samples[0].classes == std::vector<std::string>{"Date", "Food"});
  CHECK(samples[0].grades_first_line);
  CHECK(grade_response(samples[0], "Date\nFood") == 1.0);
  CHECK_FALSE(samples[0].stop_at_newline);
  CHECK(samples[1].metric == Metric::kRougeL);
  CHECK(samples[1].stop_at_newline);
  CHECK(samples[2].metric == Metric::kEditSimilarity);
  CHECK(samples[3].metric == Metric::kCount);
  // A prompt's last space is part of it.
  CHECK(files.text_of(samples[3]).ends_with("The final answer is: "));
  // Samples are counted within their set.
  CHECK(samples[0].sample == 0);
  CHECK(samples[3].sample == 0);
  CHECK(samples[4].sample == 1);
  request.max_samples = 1;
  CHECK(files.read(request).size() == 4);
}

TEST_CASE("a long LongBench prompt loses its middle", "[profiler]") {
  const Files files;
  std::string context;
  for (int i = 0; i < 200; ++i) context += "word ";
  std::string line = longbench_line("qasper", R"("answers": ["x"])");
  line.replace(line.find("The cat sat on the mat."), 23, context + "end");
  TaskFileRequest request = files.longbench(line);
  const auto whole = files.read(request);
  request.max_prompt_tokens = 121;
  const auto cut = files.read(request);
  // Halves of 60 tokens, joined and encoded anew.
  const std::vector<int64_t> first(whole[0].prompt.begin(), whole[0].prompt.begin() + 60);
  const std::vector<int64_t> last(whole[0].prompt.end() - 60, whole[0].prompt.end());
  CHECK(files.text_of(cut[0]) ==
        files.planted.tokenizer->decode(first) + files.planted.tokenizer->decode(last));
  CHECK(cut[0].prompt.size() <= 121);
  CHECK(files.question_of(cut[0]).find("Question: Who sat?") != std::string::npos);
  request.max_prompt_tokens = static_cast<int64_t>(whole[0].prompt.size());
  CHECK(files.read(request)[0].prompt == whole[0].prompt);
  // Without a limit of the user's the model's positions are one, the answer's tokens left free.
  request.max_prompt_tokens = 0;
  request.position_limit = 128 + 40;
  CHECK(files.read(request)[0].prompt.size() <= 40);
}

TEST_CASE("a RULER line is asked as it stands, and all of its outputs are wanted", "[profiler]") {
  const Files files;
  TaskFileRequest request = files.request(
      TaskFileFormat::kRuler,
      R"({"index": 0, "input": "Some text.\nMore text.\nWhat is it? It is", "outputs": ["a1", "b2"]})"
      "\n"
      R"({"index": 1, "input": "Text.\nWho?", "outputs": ["c"], "task": "qa_1", "answer_prefix": " Answer:"})"
      "\n");
  const auto samples = files.read(request);
  REQUIRE(samples.size() == 2);
  CHECK(samples[0].task == "tasks");
  CHECK(files.text_of(samples[0]) == "Some text.\nMore text.\nWhat is it? It is");
  CHECK(files.question_of(samples[0]) == "What is it? It is");
  CHECK(samples[0].metric == Metric::kContainsAll);
  CHECK(samples[0].max_new_tokens == 128);
  CHECK(samples[1].metric == Metric::kContains);
  CHECK(samples[1].max_new_tokens == 32);
  CHECK(files.text_of(samples[1]).ends_with("Answer:"));
  request.max_prompt_tokens = 40;
  CHECK(files.read(request).size() == 2);
  std::string longer = R"({"input": ")";
  for (int i = 0; i < 30; ++i) longer += "word ";
  request.path = files.write("longer.jsonl", longer + R"(", "outputs": ["a"]})");
  CHECK(files.complaint(request).find("line 1") != std::string::npos);
}

TEST_CASE("a line may say how it is graded", "[profiler]") {
  const Files files;
  TaskFileRequest request = files.request(
      TaskFileFormat::kRuler, R"({"input": "a", "outputs": ["b c"], "metric": "exact-match"})");
  CHECK(grade_response(files.read(request).front(), "The B, c.") == 1.0);
  CHECK(grade_response(files.read(request).front(), "b c d") == 0.0);
  request = files.request(TaskFileFormat::kRuler,
                          R"({"input": "a", "outputs": ["b c"], "metric": "bleu"})");
  CHECK(files.complaint(request).find("exact-match") != std::string::npos);
  request = files.request(TaskFileFormat::kRuler,
                          R"({"input": "a", "outputs": ["b"], "metric": "classification"})");
  CHECK(files.complaint(request).find("line 1") != std::string::npos);
}

TEST_CASE("RULER's tasks are named by their file, or its folder", "[profiler]") {
  const Files files;
  std::filesystem::create_directories(files.planted.folder / "vt");
  TaskFileRequest request;
  request.format = TaskFileFormat::kRuler;
  request.path = files.write("vt/validation.jsonl", R"({"input": "a", "outputs": ["b"]})");
  CHECK(files.read(request).front().task == "vt");
  CHECK(files.read(request).front().max_new_tokens == 30);
  request.path = files.write("niah_single_1.jsonl", R"({"input": "a", "outputs": ["b"]})");
  CHECK(files.read(request).front().task == "niah_single_1");
}

TEST_CASE("needle cells stand at their own length and depth, or at all that are asked for",
          "[profiler]") {
  const Files files;
  const std::string needle =
      R"("needle": "The code of the red door is 48213.", "question": "What is the code of the red door?")";
  TaskFileRequest request = files.request(
      TaskFileFormat::kNiah,
      "{" + needle + R"(, "real_needle": "48213", "context_length": 200, "depth_percent": 25})" +
          "\n{" + needle + "}\n");
  request.context_lengths = {150, 250};
  request.depths = {0.0, 0.5, 1.0};
  const auto samples = files.read(request);
  REQUIRE(samples.size() == 1 + 2 * 3);
  CHECK(samples[0].context_length == 200);
  CHECK(samples[0].depth == 0.25);
  CHECK(samples[0].accepted == std::vector<std::string>{"48213"});
  CHECK(samples[1].accepted.front() == "The code of the red door is 48213.");
  std::set<std::pair<int64_t, double>> places;
  std::map<std::pair<int64_t, double>, size_t> needle_at;
  for (const TaskSample& sample : samples) {
    const auto size = static_cast<int64_t>(sample.prompt.size());
    CHECK(size <= sample.context_length);
    CHECK(size > sample.context_length - 40);
    CHECK(sample.metric == Metric::kRouge1Recall);
    const std::string text = files.text_of(sample);
    const size_t at = text.find("48213");
    REQUIRE(at != std::string::npos);
    places.insert({sample.context_length, sample.depth});
    needle_at[{sample.context_length, sample.depth}] = at;
    CHECK(files.question_of(sample).find("48213") == std::string::npos);
    CHECK(files.question_of(sample).find("red door") != std::string::npos);
  }
  CHECK(places.size() == 7);
  for (const int64_t length : {150, 250}) {
    CHECK(needle_at[{length, 0.0}] + 30 < needle_at[{length, 0.5}]);
    CHECK(needle_at[{length, 0.5}] + 30 < needle_at[{length, 1.0}]);
  }
  // The same seed, the same prompts.
  CHECK(files.read(request)[3].prompt == samples[3].prompt);
  request.depths = {};
  CHECK(files.complaint(request).find("line 2") != std::string::npos);
}

TEST_CASE("a bad line is refused by its number and field", "[profiler]") {
  const Files files;
  const std::string good = longbench_line("qasper", R"("answers": ["x"])");
  const auto about = [&](const std::string& text) {
    return files.complaint(files.longbench(good + "\n" + text));
  };
  const auto says = [](const std::string& complaint, const std::string& a, const std::string& b) {
    INFO(complaint);
    CHECK(complaint.find(a) != std::string::npos);
    CHECK(complaint.find(b) != std::string::npos);
  };
  says(about("{\"dataset\": "), "line 3", "column");
  says(about("[1]"), "line 3", "a JSON object");
  says(about(R"({"context": "c", "input": "i", "answers": ["a"]})"), "line 3", "dataset");
  says(about(R"({"dataset": "qasper", "context": "c", "input": "i", "answers": []})"), "line 3",
       "answers");
  says(about(R"({"dataset": "qasper", "context": 5, "input": "i", "answers": ["a"]})"), "line 3",
       "context");
  says(about(longbench_line("trec", R"("answers": ["a"], "all_classes": null)")), "line 3",
       "all_classes");
  says(about(longbench_line("magic", R"("answers": ["a"])")), "line 3", "magic");
  says(about(longbench_line("dureader", R"("answers": ["a"])")), "line 3", "Chinese");
  says(about(longbench_line("multi_news", R"("answers": ["a"])")), "the prompt table",
       "multi_news");
  says(files.complaint(files.request(TaskFileFormat::kRuler, R"({"input": "a"})")), "line 1",
       "outputs");
  says(files.complaint(files.request(TaskFileFormat::kNiah, R"({"needle": "a", "question": "b",
"real_needle": "c", "context_length": 100, "depth_percent": 10})")),
       "line 1", "column");
  says(files.complaint(files.request(
           TaskFileFormat::kNiah,
           R"({"needle": "a", "question": "b", "real_needle": "c", "depth_percent": 10})")),
       "line 1", "real_needle");
  says(files.complaint(files.request(
           TaskFileFormat::kNiah,
           R"({"needle": "a b", "question": "b", "context_length": 100, "depth_percent": 101})")),
       "line 1", "depth_percent");
  says(files.complaint(files.request(TaskFileFormat::kRuler, "\n \n")), "tasks.jsonl", "line");
  TaskFileRequest absent = files.request(TaskFileFormat::kRuler, "");
  absent.path = files.planted.folder / "absent.jsonl";
  CHECK_FALSE(files.complaint(absent).empty());
}

TEST_CASE("LongBench's tables are looked for beside the file, or named", "[profiler]") {
  const Files files;
  TaskFileRequest request =
      files.request(TaskFileFormat::kLongBench, longbench_line("qasper", R"("answers": ["x"])"));
  CHECK(files.complaint(request).find("--longbench-prompts") != std::string::npos);
  request.prompt_table = files.write("p.json", R"({"qasper": "{context} {input}"})");
  CHECK(files.complaint(request).find("--longbench-lengths") != std::string::npos);
  request.length_table = files.write("l.json", R"({"qasper": 7})");
  CHECK(files.read(request).front().max_new_tokens == 7);
  request.prompt_table = files.write("p.json", R"({"qasper": "{input}"})");
  CHECK(files.complaint(request).find("{context}") != std::string::npos);
}

TEST_CASE("published task files are read as they are", "[profiler]") {
  const auto news = shared_data("longbench/multi_news_head5.jsonl");
  const auto ruler = shared_data("ruler/niah_multikey_3_4096_head5.jsonl");
  if (!news || !ruler) return;
  const Files files;
  TaskFileRequest request;
  request.path = news->string();
  request.max_prompt_tokens = 500;
  const auto summaries = files.read(request);
  REQUIRE(summaries.size() == 5);
  for (const TaskSample& sample : summaries) {
    CHECK(sample.task == "multi_news");
    CHECK(sample.max_new_tokens == 512);
    CHECK(sample.metric == Metric::kRougeL);
    CHECK(sample.context_tokens > 400);
    CHECK(files.question_of(sample).find("Now, write a one-page summary") != std::string::npos);
  }
  request.format = TaskFileFormat::kRuler;
  request.path = ruler->string();
  request.max_prompt_tokens = 0;
  const auto needles = files.read(request);
  REQUIRE(needles.size() == 5);
  CHECK(needles[0].task == "niah_multikey_3_4096_head5");
  CHECK(needles[0].accepted == std::vector<std::string>{"1ee34dc4-3b04-4a8b-805b-fdc94e7ed827"});
  CHECK(files.question_of(needles[0]).find("special magic uuid for 455ac762") != std::string::npos);
}

}  // namespace headscope::testing
