// Gates of KV heads as DuoAttention publishes them (arXiv 2410.10819): a folder or a file of
// tab-separated numbers, a row per layer, a column per KV head, and beside it config.json with the
// sizes of the streaming heads' caches. Any ranking of KV heads fits the same table (RLKV, arXiv
// 2510.08525).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "outputs/head_matrix.h"

namespace headscope::outputs {

struct DuoPattern {
  HeadMatrix gates;  // [num_layers, num_kv_heads], clipped to 0..1; 1 = keeps everything
  std::optional<int64_t> sink_size;    // tokens; none without a config.json beside the table
  std::optional<int64_t> recent_size;  // tokens
  std::string model_name;              // as config.json has it; may be empty
  std::vector<std::string> warnings;   // values outside 0..1
};

// `path`: the table, or the folder with full_attention_heads.tsv. InputError naming line and column
// where rows differ in length or hold what is no finite number, and naming the field of a
// config.json that makes no sense.
[[nodiscard]] DuoPattern read_duo_pattern(const std::filesystem::path& path);

}  // namespace headscope::outputs
