// The measures of LongBench v1 (arXiv 2308.14508), 0..1, as its metrics.py computes them: also
// where that differs from the textbook, so that scores can be compared with published ones.
// Responses are UTF-8. Chinese answers that LongBench cuts into words first (jieba) are not
// supported: its F1 and ROUGE-L of Chinese sets are other measures.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace headscope::profiler {

// LongBench's normalisation of English answers (SQuAD's): lower case, ASCII punctuation removed,
// then the words a, an, the, then whitespace; what is left, in order.
[[nodiscard]] std::vector<std::string> normalised_words(const std::string& text);

// Words that both hold, counted with repeats.
[[nodiscard]] size_t num_common_words(const std::vector<std::string>& a,
                                      const std::vector<std::string>& b);

// 1 where both have the same normalised words, else 0 (SQuAD's exact match, arXiv 1606.05250).
[[nodiscard]] double exact_match(const std::string& answer, const std::string& response);

// qa_f1_score: harmonic mean of precision and recall of normalised words, with repeats.
[[nodiscard]] double token_f1(const std::string& answer, const std::string& response);

// rouge_score: the F of ROUGE-L as the Python package `rouge` has it. Sentences end at ".", words
// at whitespace, letters keep their case; for each sentence of the answer the words of its longest
// common subsequences with the response's sentences are united, every word counts once, and both
// lengths are numbers of different words. 0 where either side has no sentence. (The package gives
// up on sentences of about a thousand words and scores 0; here they are scored.)
[[nodiscard]] double rouge_l(const std::string& answer, const std::string& response);

// code_sim_score: the response's first line without "`", "#" and "//", compared with the whole
// answer: 2 x longest common subsequence / sum of lengths, in characters, to the nearest hundredth
// (fuzz.ratio of fuzzywuzzy over Levenshtein, of thefuzz and rapidfuzz; without the Levenshtein
// package fuzzywuzzy takes Python's difflib, which often finds a shorter subsequence).
[[nodiscard]] double edit_similarity(const std::string& answer, const std::string& response);

// classification_score: 1 / number of classes whose names the response holds, where the answer is
// among them, else 0. A class whose name is part of the answer's does not count beside it, except
// where it directly follows one that was so left out: LongBench's loop skips it.
[[nodiscard]] double classification_score(const std::string& answer,
                                          const std::string& response,
                                          const std::vector<std::string>& classes);

// count_score: share of the response's numbers (runs of ASCII digits) that are written as the
// answer is. 0 without numbers.
[[nodiscard]] double count_score(const std::string& answer, const std::string& response);

// retrieval_score and retrieval_zh_score: as count_score, against the number in the answer's
// "Paragraph N" or "段落N". 0 where the answer has neither.
[[nodiscard]] double retrieval_score(const std::string& answer, const std::string& response);

// The first line after leading newlines: all that counts of a response to trec, triviaqa, samsum
// and lsht.
[[nodiscard]] std::string first_response_line(const std::string& response);

}  // namespace headscope::profiler
