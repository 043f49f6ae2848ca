// Which query heads lead in each layer, in the JSON that CompressKV's runtime reads
// (`<Model>_head_idx.json`; arXiv 2508.02401): one line, an object "0".."L-1" -> all query heads of
// that layer, best first.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace headscope::outputs {

// [num_layers][num_query_heads], each row a permutation of the head numbers, best first.
using HeadOrder = std::vector<std::vector<int64_t>>;

// Throws InputError naming the layer when layers are missing, or a row is no permutation.
[[nodiscard]] HeadOrder read_head_order(const std::filesystem::path& path);

// Throws std::invalid_argument unless every row is a permutation of the same length.
[[nodiscard]] std::string head_order_to_json(const HeadOrder& order);
void write_head_order(const HeadOrder& order, const std::filesystem::path& path, bool overwrite);

}  // namespace headscope::outputs
