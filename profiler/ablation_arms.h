// Which heads the causal check masks: the best by a score, and its controls, heads of the very same
// layers that are not among the best. Layers differ in what masking them costs, whatever their
// heads do, so controls from anywhere would compare layers and not heads.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "outputs/head_matrix.h"
#include "outputs/model_shape.h"

namespace headscope::profiler {

struct AblationArm {
  std::string which;          // "none", "top", "random-1", "random-2", …, "bottom"
  std::string score;          // the score that the top heads come from; empty for "none"
  std::vector<HeadId> heads;  // ascending; empty for "none"
};

// For one score: "top", the `top` heads with the highest scores; "random-1" … "random-<draws>",
// seeded draws; "bottom", those with the lowest scores. A control takes from every layer as many
// heads as the top has there, none of them a top head; where a layer has too few others, the rest
// comes from the nearest layers (see is_layer_matched()). Heads without a score (NaN) are in no
// arm. InputError: top below 1, more than half of the scored heads, draws outside 0..1000.
[[nodiscard]] std::vector<AblationArm> choose_arms(
    const std::string& score, const HeadMatrix& scores, int64_t top, int64_t draws, uint64_t seed);

// Whether both have the same number of heads in every layer.
[[nodiscard]] bool is_layer_matched(const AblationArm& control, const AblationArm& top);

}  // namespace headscope::profiler
