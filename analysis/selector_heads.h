// How many heads of a layer choose its keys: not a fixed number, but those that surely retrieve.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "analysis/bootstrap.h"

namespace headscope::analysis {

// Score samples of every query head, as ScoreTable::samples.
struct HeadSamples {
  int64_t num_layers = 0;
  int64_t num_query_heads = 0;
  std::vector<float> values;          // [num_probes, num_layers, num_query_heads], NaN = left out
  std::vector<std::string> clusters;  // [num_probes]: probes of one needle share it
};

struct SelectorOptions {
  double threshold = 0.1;  // of the score: Retrieval Head's (arXiv 2404.15574) own
  BootstrapOptions bootstrap = {};
};

struct SelectorHeads {
  std::vector<std::vector<int64_t>> heads;  // [num_layers][>= 1] query heads, best mean first
  std::vector<std::string> notes;           // layers without a sure head, in words
};

// Of every layer the heads whose mean's lower confidence bound (clustered bootstrap) exceeds the
// threshold. A layer without one is judged by all of its heads, since none of them is known to
// retrieve, and the notes say so. std::invalid_argument where sizes disagree.
[[nodiscard]] SelectorHeads heads_above(const HeadSamples& samples,
                                        const SelectorOptions& options = {});

}  // namespace headscope::analysis
