// A needle-in-a-haystack picture: x = context length, y = depth (0 % on top), coloured by score
// from red (0) over yellow to green (1), as such pictures are usually coloured.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace headscope::outputs {

struct NiahCell {
  int64_t context_length = 0;  // tokens
  double depth = 0.0;          // 0..1
  double score = 0.0;          // 0..1, the mean of the cell's samples
};

struct NiahPictureOptions {
  std::string title;        // the model and the method: "SmolLM2-135M-Instruct · snapkv"
  std::string subtitle;     // what was measured: "kept 6 %, question-aware, mean score 0.93"
  std::string score_label;  // along the colour bar
};

// PNG or SVG by the extension of `path`; another one is an InputError. Columns are the lengths that
// occur, rows the depths, both ascending; a cell that is missing is grey and hatched. Several cells
// of one place are averaged. std::invalid_argument where there is none.
void write_niah_picture(const std::vector<NiahCell>& cells,
                        const NiahPictureOptions& options,
                        const std::filesystem::path& path,
                        bool overwrite);

// Red, green, blue in 0..1 for a score, which is clamped to 0..1: #F0496E, #EBB839, #0CD79F at 0,
// 1/2 and 1, linear between them.
[[nodiscard]] std::array<double, 3> niah_colour(double score);

}  // namespace headscope::outputs
