#include "profiler/answer_metrics.h"

#include <algorithm>
#include <map>
#include <stdexcept>

namespace headscope::profiler {
namespace {

using Words = std::vector<std::string>;

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

// LongBench's normalisation.
Words qa_words(const std::string& text) {
  std::string kept;
  for (const char byte : text) {
    const bool is_punctuation = byte > ' ' && byte < 127 && !is_ascii_word(lower(byte));
    if (!is_punctuation) {
      kept += byte;
    }
  }
  Words words = runs_of(kept, [](char byte) { return !is_space(byte); });
  std::erase_if(
      words, [](const std::string& word) { return word == "a" || word == "an" || word == "the"; });
  return words;
}

// Words that both hold, counted with repeats.
size_t overlap(const Words& a, const Words& b) {
  std::map<std::string, size_t> left;
  for (const std::string& word : b) {
    left[word] += 1;
  }
  size_t common = 0;
  for (const std::string& word : a) {
    const auto found = left.find(word);
    if (found != left.end() && found->second > 0) {
      found->second -= 1;
      common += 1;
    }
  }
  return common;
}

double f_measure(size_t common, size_t expected, size_t found) {
  if (common == 0) {
    return 0.0;
  }
  // 2 P R / (P + R) with P = common / found and R = common / expected.
  return 2.0 * static_cast<double>(common) / static_cast<double>(expected + found);
}

size_t longest_common_subsequence(const Words& a, const Words& b) {
  std::vector<size_t> row(b.size() + 1, 0);
  for (const std::string& word : a) {
    size_t diagonal = 0;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t above = row[j + 1];
      row[j + 1] = word == b[j] ? diagonal + 1 : std::max(above, row[j]);
      diagonal = above;
    }
  }
  return row.back();
}

size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) {
    row[j] = j;
  }
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t above = row[j + 1];
      const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      row[j + 1] = std::min({replaced, above + 1, row[j] + 1});
      diagonal = above;
    }
  }
  return row.back();
}

// The first line that is not blank, without surrounding whitespace.
std::string first_line(const std::string& text) {
  const auto begin = std::find_if_not(text.begin(), text.end(), is_space);
  auto end = std::find(begin, text.end(), '\n');
  while (end != begin && is_space(*(end - 1))) {
    --end;
  }
  return {begin, end};
}

std::string with_single_spaces(const std::string& text) {
  std::string result;
  for (const std::string& word : runs_of(text, [](char byte) { return !is_space(byte); })) {
    result += (result.empty() ? "" : " ") + word;
  }
  return result;
}

double measure(Metric metric, const std::string& answer, const std::string& response) {
  switch (metric) {
    case Metric::kContains:
      return contains_answer(answer, response);
    case Metric::kF1:
      return token_f1(answer, response);
    case Metric::kRougeL:
      return rouge_l(answer, response);
    case Metric::kEditSimilarity:
      return edit_similarity(answer, response);
  }
  throw std::invalid_argument("grade_response: unknown metric");
}

}  // namespace

double rouge1_recall(const std::string& answer, const std::string& response) {
  const Words expected = rouge_words(answer, answer);
  if (expected.empty()) {
    return 0.0;
  }
  const size_t common = overlap(expected, rouge_words(response, answer));
  return static_cast<double>(common) / static_cast<double>(expected.size());
}

double contains_answer(const std::string& answer, const std::string& response) {
  const std::string wanted = with_single_spaces(answer);
  const bool is_there =
      !wanted.empty() && with_single_spaces(response).find(wanted) != std::string::npos;
  return is_there ? 1.0 : 0.0;
}

double token_f1(const std::string& answer, const std::string& response) {
  const Words expected = qa_words(answer);
  const Words found = qa_words(response);
  return f_measure(overlap(expected, found), expected.size(), found.size());
}

double rouge_l(const std::string& answer, const std::string& response) {
  const Words expected = rouge_words(answer, answer);
  const Words found = rouge_words(response, answer);
  return f_measure(longest_common_subsequence(expected, found), expected.size(), found.size());
}

double edit_similarity(const std::string& answer, const std::string& response) {
  const std::string expected = first_line(answer);
  const std::string found = first_line(response);
  const size_t longer = std::max(expected.size(), found.size());
  if (longer == 0) {
    return 0.0;
  }
  return 1.0 - static_cast<double>(edit_distance(expected, found)) / static_cast<double>(longer);
}

double grade_response(const TaskSample& sample, const std::string& response) {
  double best = 0.0;
  for (const std::string& answer : sample.accepted) {
    best = std::max(best, measure(sample.metric, answer, response));
  }
  return best;
}

}  // namespace headscope::profiler
