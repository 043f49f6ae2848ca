// Head scores of the Retrieval_Head family (Retrieval_Head, arXiv 2404.15574; HeadKV, CompressKV
// and SparseMM write the same): one JSON object, "layer-head" -> one number per successful trial.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "outputs/head_matrix.h"

namespace headscope::outputs {

struct RetrievalScores {
  int64_t num_layers = 0;
  int64_t num_query_heads = 0;
  int64_t num_trials = 0;
  int64_t num_distinct_trials = 0;    // trials that differ in at least one head
  std::vector<float> samples;         // [num_trials, num_layers, num_query_heads]
  HeadMatrix mean;                    // over trials; [num_layers, num_query_heads]
  std::vector<std::string> warnings;  // duplicate or all-zero trials, values outside 0..1
};

// Throws InputError naming the key when one is no "layer-head", heads are missing, lists differ in
// length, or a value is no finite number. Published files repeat trials; that is a warning.
[[nodiscard]] RetrievalScores read_retrieval_scores(const std::filesystem::path& path);

}  // namespace headscope::outputs
