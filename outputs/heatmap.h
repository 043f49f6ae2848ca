// A picture of a number per head: x = head, y = layer (layer 0 on top), brackets under the heads
// that share a KV head. Colours are viridis: perceptually even, safe for colour-blind readers.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "outputs/head_matrix.h"
#include "outputs/model_shape.h"

namespace headscope::outputs {

struct HeatmapOptions {
  std::string title;             // the model and the score: "SmolLM2-135M-Instruct · srh"
  std::string subtitle;          // what was measured: "24 probes, 22 successful"
  std::string score_label;       // along the colour bar: "mean attention mass on the needle"
  int64_t query_group_size = 1;  // query heads per KV head; 1 = no brackets
  std::optional<double> low;     // value of the first colour; default min(0, smallest value)
  std::optional<double> high;    // value of the last colour; default the largest value, rounded up
  std::vector<HeadId> marked;    // outlined, e.g. a plan's selector heads
  std::string marked_label = "selected heads";  // in the legend
};

// Writes PNG or SVG by the extension of `path`; another extension is an InputError. NaN cells are
// grey and hatched, and the legend says so. Throws std::invalid_argument for an empty matrix, a
// group size that does not divide the heads, or a marked head out of range.
void write_heatmap(const HeadMatrix& scores,
                   const HeatmapOptions& options,
                   const std::filesystem::path& path,
                   bool overwrite);

// Red, green, blue in 0..1 of the sequential colour map at `position`, which is clamped to 0..1.
[[nodiscard]] std::array<double, 3> sequential_colour(double position);

}  // namespace headscope::outputs
