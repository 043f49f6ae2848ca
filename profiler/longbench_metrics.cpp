#include "profiler/longbench_metrics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>
#include <string_view>

#include "model/aligned_text.h"
#include "model/normalizer.h"

namespace headscope::profiler {
namespace {

using Words = std::vector<std::string>;

bool is_digit(char byte) {
  return byte >= '0' && byte <= '9';
}

bool is_ascii_punctuation(char32_t code_point) {
  const bool is_visible = code_point > 0x20 && code_point < 0x7F;
  const bool is_letter =
      (code_point >= 'a' && code_point <= 'z') || (code_point >= 'A' && code_point <= 'Z');
  return is_visible && !is_letter && !(code_point >= '0' && code_point <= '9');
}

// As Python's str.split() sees it.
bool is_python_space(char32_t code_point) {
  return model::is_white_space(code_point) || (code_point >= 0x1C && code_point <= 0x1F);
}

std::u32string code_points(const std::string& text) {
  const std::string valid = model::replace_ill_formed(text);
  std::u32string points;
  for (size_t at = 0; at < valid.size();) points += model::next_code_point(valid, at);
  return points;
}

// Runs of whatever is not whitespace.
Words split(const std::string& text) {
  Words words;
  bool inside = false;
  for (const char32_t code_point : code_points(text)) {
    const bool belongs = !is_python_space(code_point);
    if (belongs) {
      words.resize(words.size() + (inside ? 0 : 1));
      model::append_utf8(code_point, words.back());
    }
    inside = belongs;
  }
  return words;
}

// Articles stand between word boundaries, which also lie beside punctuation of other scripts.
std::string without_articles(const std::u32string& text) {
  std::string kept;
  std::string run;
  const auto end_run = [&] {
    kept += run == "a" || run == "an" || run == "the" ? " " : run;
    run.clear();
  };
  for (const char32_t code_point : text) {
    if (model::is_word_character(code_point)) {
      model::append_utf8(code_point, run);
    } else {
      end_run();
      model::append_utf8(code_point, kept);
    }
  }
  end_run();
  return kept;
}

// [a.size() + 1][b.size() + 1] lengths of the longest common subsequences of beginnings.
template <typename Sequence>
std::vector<std::vector<int>> subsequence_lengths(const Sequence& a, const Sequence& b) {
  std::vector<std::vector<int>> length(a.size() + 1, std::vector<int>(b.size() + 1, 0));
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      length[i][j] = a[i - 1] == b[j - 1] ? length[i - 1][j - 1] + 1
                                          : std::max(length[i - 1][j], length[i][j - 1]);
    }
  }
  return length;
}

// Words of one longest common subsequence: of several, the one that the package finds.
std::set<std::string> common_words(const Words& reference, const Words& found) {
  const auto length = subsequence_lengths(reference, found);
  std::set<std::string> words;
  for (size_t i = reference.size(), j = found.size(); i > 0 && j > 0;) {
    if (reference[i - 1] == found[j - 1]) {
      words.insert(reference[i - 1]);
      --i;
      --j;
    } else if (length[i - 1][j] > length[i][j - 1]) {
      --i;
    } else {
      --j;
    }
  }
  return words;
}

// Words of each sentence; a sentence of whitespace alone has one word, the empty one.
std::vector<Words> sentences_of(const std::string& text) {
  std::vector<Words> sentences;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('.', begin), text.size());
    if (end > begin) {
      sentences.push_back(split(text.substr(begin, end - begin)));
      if (sentences.back().empty()) sentences.back().emplace_back();
    }
    begin = end + 1;
  }
  return sentences;
}

size_t different_words(const std::vector<Words>& sentences) {
  std::set<std::string> words;
  for (const Words& sentence : sentences) words.insert(sentence.begin(), sentence.end());
  return words.size();
}

Words numbers_in(const std::string& text) {
  Words numbers;
  bool inside = false;
  for (const char byte : text) {
    if (is_digit(byte)) {
      numbers.resize(numbers.size() + (inside ? 0 : 1));
      numbers.back() += byte;
    }
    inside = is_digit(byte);
  }
  return numbers;
}

double share_of(const std::string& wanted, const Words& numbers) {
  if (numbers.empty()) return 0.0;
  const auto right = std::count(numbers.begin(), numbers.end(), wanted);
  return static_cast<double>(right) / static_cast<double>(numbers.size());
}

// The first line that may be code: no fence and no comment.
std::string first_code_line(const std::string& response) {
  for (size_t begin = std::min(response.find_first_not_of('\n'), response.size());
       begin < response.size();) {
    const size_t end = std::min(response.find('\n', begin), response.size());
    std::string line = response.substr(begin, end - begin);
    const bool is_prose = line.find('`') != std::string::npos ||
                          line.find('#') != std::string::npos ||
                          line.find("//") != std::string::npos;
    if (!is_prose) return line;
    begin = end + 1;
  }
  return "";
}

}  // namespace

std::vector<std::string> normalised_words(const std::string& text) {
  model::AlignedText lowered = model::align_text(text);
  model::lowercase_step()(lowered);
  std::u32string points = code_points(lowered.text);
  std::erase_if(points, is_ascii_punctuation);
  return split(without_articles(points));
}

size_t num_common_words(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  std::map<std::string, size_t> left;
  for (const std::string& word : b) left[word] += 1;
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

double exact_match(const std::string& answer, const std::string& response) {
  return normalised_words(answer) == normalised_words(response) ? 1.0 : 0.0;
}

double token_f1(const std::string& answer, const std::string& response) {
  const Words expected = normalised_words(answer);
  const Words found = normalised_words(response);
  const size_t common = num_common_words(expected, found);
  // 2 P R / (P + R) with P = common / found and R = common / expected.
  return common == 0 ? 0.0
                     : 2.0 * static_cast<double>(common) /
                           static_cast<double>(expected.size() + found.size());
}

double rouge_l(const std::string& answer, const std::string& response) {
  const std::vector<Words> reference = sentences_of(answer);
  const std::vector<Words> found = sentences_of(response);
  if (reference.empty() || found.empty()) return 0.0;
  std::set<std::string> united;
  for (const Words& expected : reference) {
    for (const Words& sentence : found) united.merge(common_words(expected, sentence));
  }
  const auto common = static_cast<double>(united.size());
  const double recall = common / static_cast<double>(different_words(reference));
  const double precision = common / static_cast<double>(different_words(found));
  return 2.0 * precision * recall / (precision + recall + 1e-8);
}

double edit_similarity(const std::string& answer, const std::string& response) {
  const std::u32string expected = code_points(answer);
  const std::u32string found = code_points(first_code_line(response));
  const size_t both = expected.size() + found.size();
  if (both == 0) return 1.0;
  const int common = subsequence_lengths(expected, found).back().back();
  return std::nearbyint(100.0 * 2.0 * common / static_cast<double>(both)) / 100.0;
}

double classification_score(const std::string& answer,
                            const std::string& response,
                            const std::vector<std::string>& classes) {
  std::vector<std::string> named;
  for (const std::string& name : classes) {
    if (response.find(name) != std::string::npos) named.push_back(name);
  }
  // Left out while it is walked over: what follows takes the place and is passed by.
  for (size_t i = 0; i < named.size(); ++i) {
    if (named[i] != answer && answer.find(named[i]) != std::string::npos) {
      named.erase(std::find(named.begin(), named.end(), named[i]));
    }
  }
  const bool is_right = std::find(named.begin(), named.end(), answer) != named.end();
  return is_right ? 1.0 / static_cast<double>(named.size()) : 0.0;
}

double count_score(const std::string& answer, const std::string& response) {
  return share_of(answer, numbers_in(response));
}

double retrieval_score(const std::string& answer, const std::string& response) {
  constexpr std::array<std::string_view, 2> kParagraph = {"Paragraph ", "段落"};
  for (const std::string_view word : kParagraph) {
    for (size_t at = answer.find(word); at != std::string::npos; at = answer.find(word, at + 1)) {
      const size_t begin = at + word.size();
      size_t end = begin;
      while (end < answer.size() && is_digit(answer[end])) ++end;
      if (end > begin) return share_of(answer.substr(begin, end - begin), numbers_in(response));
    }
  }
  return 0.0;
}

std::string first_response_line(const std::string& response) {
  const size_t begin = std::min(response.find_first_not_of('\n'), response.size());
  return response.substr(begin, response.find('\n', begin) - begin);
}

}  // namespace headscope::profiler
