#include "profiler/answer_metrics.h"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <utility>

#include "outputs/input_error.h"
#include "profiler/longbench_metrics.h"

namespace headscope::profiler {
namespace {

using Words = std::vector<std::string>;

constexpr std::array<std::pair<Metric, const char*>, 10> kNames{
    {{Metric::kContains, "contains"},
     {Metric::kContainsAll, "contains-all"},
     {Metric::kExactMatch, "exact-match"},
     {Metric::kRouge1Recall, "rouge-1"},
     {Metric::kF1, "f1"},
     {Metric::kRougeL, "rouge-l"},
     {Metric::kEditSimilarity, "edit-similarity"},
     {Metric::kClassification, "classification"},
     {Metric::kCount, "count"},
     {Metric::kRetrieval, "retrieval"}}};

char lower(char letter) {
  return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
}

std::string lowered(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), lower);
  return text;
}

bool is_space(char byte) {
  return byte == ' ' || byte == '\n' || byte == '\t' || byte == '\r' || byte == '\f' ||
         byte == '\v';
}

bool is_ascii_word(char byte) {
  return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9');
}

bool is_non_ascii(char byte) {
  return static_cast<unsigned char>(byte) >= 0x80;
}

// Runs of bytes that belong to words, of lower-cased text.
template <typename Predicate>
Words runs_of(const std::string& text, Predicate belongs) {
  Words words;
  bool inside = false;
  for (const char byte : lowered(text)) {
    if (belongs(byte)) {
      words.resize(words.size() + (inside ? 0 : 1));
      words.back() += byte;
    }
    inside = belongs(byte);
  }
  return words;
}

// Words as ROUGE counts them. Answers in other scripts have no [a-z0-9]: `like` decides for both
// sides.
Words rouge_words(const std::string& text, const std::string& like) {
  const std::string lowered_like = lowered(like);
  if (std::any_of(lowered_like.begin(), lowered_like.end(), is_ascii_word)) {
    return runs_of(text, is_ascii_word);
  }
  return runs_of(text, is_non_ascii);
}

std::string with_single_spaces(const std::string& text) {
  std::string result;
  for (const std::string& word : runs_of(text, [](char byte) { return !is_space(byte); })) {
    result += (result.empty() ? "" : " ") + word;
  }
  return result;
}

double measure(const TaskSample& sample, const std::string& answer, const std::string& response) {
  switch (sample.metric) {
    case Metric::kContains:
      return contains_answer(answer, response);
    case Metric::kExactMatch:
      return exact_match(answer, response);
    case Metric::kRouge1Recall:
      return rouge1_recall(answer, response);
    case Metric::kF1:
      return token_f1(answer, response);
    case Metric::kRougeL:
      return rouge_l(answer, response);
    case Metric::kEditSimilarity:
      return edit_similarity(answer, response);
    case Metric::kClassification:
      return classification_score(answer, response, sample.classes);
    case Metric::kCount:
      return count_score(answer, response);
    case Metric::kRetrieval:
      return retrieval_score(answer, response);
    case Metric::kContainsAll:
      break;
  }
  throw std::invalid_argument("grade_response: not a metric of one answer");
}

}  // namespace

double rouge1_recall(const std::string& answer, const std::string& response) {
  const Words expected = rouge_words(answer, answer);
  if (expected.empty()) {
    return 0.0;
  }
  const size_t common = num_common_words(expected, rouge_words(response, answer));
  return static_cast<double>(common) / static_cast<double>(expected.size());
}

double contains_answer(const std::string& answer, const std::string& response) {
  const std::string wanted = with_single_spaces(answer);
  const bool is_there =
      !wanted.empty() && with_single_spaces(response).find(wanted) != std::string::npos;
  return is_there ? 1.0 : 0.0;
}

double contains_all(const std::vector<std::string>& answers, const std::string& response) {
  if (answers.empty()) {
    return 0.0;
  }
  double held = 0.0;
  for (const std::string& answer : answers) {
    held += contains_answer(answer, response);
  }
  return held / static_cast<double>(answers.size());
}

double grade_response(const TaskSample& sample, const std::string& response) {
  const std::string graded = sample.grades_first_line ? first_response_line(response) : response;
  if (sample.metric == Metric::kContainsAll) {
    return contains_all(sample.accepted, graded);
  }
  double best = 0.0;
  for (const std::string& answer : sample.accepted) {
    best = std::max(best, measure(sample, answer, graded));
  }
  return best;
}

std::string name_of(Metric metric) {
  for (const auto& [known, name] : kNames) {
    if (known == metric) {
      return name;
    }
  }
  throw std::invalid_argument("name_of: unknown metric");
}

Metric metric_from_name(const std::string& name, const std::string& where) {
  std::string names;
  for (const auto& [metric, known] : kNames) {
    if (known == name) {
      return metric;
    }
    names += (names.empty() ? "" : ", ") + std::string(known);
  }
  throw InputError(where, "one of " + names, "\"" + name + "\"");
}

}  // namespace headscope::profiler
