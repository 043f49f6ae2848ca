// CompressKV's layer errors (`<Model>_layer_score.jsonl`; arXiv 2508.02401): data set -> one error
// per layer, L1-normalised. The published files are one object in spite of their name; the script
// that makes them appends one object per line. Both are read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace headscope::outputs {

struct LayerScore {
  int64_t num_layers = 0;
  std::map<std::string, std::vector<double>> tasks;  // [num_layers] each
  std::vector<double> average;  // `avg_score`, or the L1-normalised mean of the tasks when absent
  std::vector<std::string> warnings;  // sums other than 1, a data set given twice, a wrong average
};

// Throws InputError naming the data set when lists differ in length, or hold what is no finite
// number >= 0.
[[nodiscard]] LayerScore read_layer_score(const std::filesystem::path& path);

}  // namespace headscope::outputs
