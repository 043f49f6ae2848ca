// What the pictures have in common. All lengths are points.
#pragma once

#include <array>

#include "outputs/canvas.h"

namespace headscope::outputs {

inline constexpr double kMargin = 24.0;

inline constexpr Colour kInk{0.13, 0.13, 0.15};
inline constexpr Colour kFaintInk{0.40, 0.40, 0.43};
inline constexpr Colour kPaper{1.0, 1.0, 1.0};
// Cells without a number, and the lines across them.
inline constexpr Colour kUnmeasured{0.88, 0.88, 0.89};
inline constexpr Colour kHatch{0.58, 0.58, 0.60};

inline const TextStyle kTitleStyle{.size = 14.0, .bold = true, .colour = kInk};
inline const TextStyle kSubtitleStyle{.size = 10.0, .colour = kFaintInk};
inline const TextStyle kTickStyle{.size = 8.5, .colour = kInk};

[[nodiscard]] inline TextStyle aligned(TextStyle style, Align align, double angle = 0.0) {
  style.align = align;
  style.angle = angle;
  return style;
}

[[nodiscard]] inline Colour colour_from(const std::array<double, 3>& rgb) {
  return {rgb[0], rgb[1], rgb[2]};
}

}  // namespace headscope::outputs
