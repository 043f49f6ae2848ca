#include "outputs/niah_picture.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>

#include "outputs/picture_style.h"

namespace headscope::outputs {
namespace {

// All lengths are points.
constexpr double kGutter = 76.0;  // left of the cells: depths
constexpr double kTop = 66.0;
constexpr double kBarWidth = 220.0;
constexpr double kBarHeight = 10.0;
constexpr double kNarrowest = 420.0;

constexpr Colour kGrid{0.55, 0.55, 0.55};

const TextStyle kLabelStyle{.size = 10.0, .colour = kInk};

Colour colour_of(double score) {
  return colour_from(niah_colour(score));
}

// Mean scores of a grid, [depth][length].
struct Grid {
  std::vector<int64_t> lengths;
  std::vector<double> depths;
  std::map<std::pair<double, int64_t>, std::pair<double, int64_t>> sums;

  explicit Grid(const std::vector<NiahCell>& cells) {
    std::set<int64_t> all_lengths;
    std::set<double> all_depths;
    for (const NiahCell& cell : cells) {
      all_lengths.insert(cell.context_length);
      all_depths.insert(cell.depth);
      auto& [sum, count] = sums[{cell.depth, cell.context_length}];
      sum += cell.score;
      count += 1;
    }
    lengths.assign(all_lengths.begin(), all_lengths.end());
    depths.assign(all_depths.begin(), all_depths.end());
  }

  [[nodiscard]] std::optional<double> score(size_t row, size_t column) const {
    const auto found = sums.find({depths[row], lengths[column]});
    if (found == sums.end()) return std::nullopt;
    return found->second.first / static_cast<double>(found->second.second);
  }
};

struct Layout {
  double cell_width = 0.0;
  double cell_height = 0.0;
  double right = 0.0;
  double bottom = 0.0;
  double bar_y = 0.0;
  double width = 0.0;
  double height = 0.0;

  Layout(const Grid& grid, const NiahPictureOptions& options) {
    const auto columns = static_cast<double>(grid.lengths.size());
    const auto rows = static_cast<double>(grid.depths.size());
    cell_width = std::clamp(std::floor(640.0 / columns), 12.0, 72.0);
    cell_height = std::clamp(std::floor(360.0 / rows), 12.0, 32.0);
    right = kGutter + columns * cell_width;
    bottom = kTop + rows * cell_height;
    bar_y = bottom + 74.0;
    const double words = std::max(text_width(options.title, kTitleStyle),
                                  text_width(options.subtitle, kSubtitleStyle));
    width =
        std::ceil(std::max({kNarrowest, right + kMargin, 2.0 * kMargin + std::min(words, 720.0)}));
    height = bar_y + kBarHeight + 32.0;
  }
  [[nodiscard]] double x(size_t column) const {
    return kGutter + static_cast<double>(column) * cell_width;
  }
  [[nodiscard]] double y(size_t row) const { return kTop + static_cast<double>(row) * cell_height; }
};

void draw_dashes(Canvas& canvas, double x0, double y0, double x1, double y1) {
  constexpr double kDash = 3.0;
  const double length = std::hypot(x1 - x0, y1 - y0);
  for (double at = 0.0; at < length; at += 2.0 * kDash) {
    const double from = at / length;
    const double to = std::min(at + kDash, length) / length;
    canvas.line(x0 + from * (x1 - x0), y0 + from * (y1 - y0), x0 + to * (x1 - x0),
                y0 + to * (y1 - y0), 0.5, kGrid);
  }
}

void draw_cells(Canvas& canvas, const Grid& grid, const Layout& layout) {
  const bool has_room = layout.cell_width >= 26.0;
  for (size_t row = 0; row < grid.depths.size(); ++row) {
    for (size_t column = 0; column < grid.lengths.size(); ++column) {
      const double x = layout.x(column);
      const double y = layout.y(row);
      const std::optional<double> score = grid.score(row, column);
      if (!score) {
        canvas.fill_rectangle(x, y, layout.cell_width, layout.cell_height, kUnmeasured);
        canvas.line(x, y + layout.cell_height, x + layout.cell_width, y, 0.7, kHatch);
        continue;
      }
      canvas.fill_rectangle(x, y, layout.cell_width, layout.cell_height, colour_of(*score));
      if (!has_room) continue;
      char number[16];
      std::snprintf(number, sizeof number, "%.2f", *score);
      canvas.text(x + 0.5 * layout.cell_width, y + 0.5 * layout.cell_height + 3.0, number,
                  aligned(kTickStyle, Align::kCentre));
    }
  }
  for (size_t row = 0; row <= grid.depths.size(); ++row) {
    draw_dashes(canvas, kGutter, layout.y(row), layout.right, layout.y(row));
  }
  for (size_t column = 0; column <= grid.lengths.size(); ++column) {
    draw_dashes(canvas, layout.x(column), kTop, layout.x(column), layout.bottom);
  }
}

void draw_axes(Canvas& canvas, const Grid& grid, const Layout& layout) {
  for (size_t row = 0; row < grid.depths.size(); ++row) {
    char percent[24];
    std::snprintf(percent, sizeof percent, "%.4g %%", 100.0 * grid.depths[row]);
    canvas.text(kGutter - 6.0, layout.y(row) + 0.5 * layout.cell_height + 3.0, percent,
                aligned(kTickStyle, Align::kRight));
  }
  canvas.text(kMargin + 4.0, 0.5 * (kTop + layout.bottom), "depth of the needle",
              aligned(kLabelStyle, Align::kCentre, -90.0));
  const double widest = text_width(std::to_string(grid.lengths.back()), kTickStyle) + 6.0;
  const auto step = static_cast<size_t>(std::ceil(widest / layout.cell_width));
  for (size_t column = 0; column < grid.lengths.size(); column += step) {
    canvas.text(layout.x(column) + 0.5 * layout.cell_width, layout.bottom + 12.0,
                std::to_string(grid.lengths[column]), aligned(kTickStyle, Align::kCentre));
  }
  canvas.text(0.5 * (kGutter + layout.right), layout.bottom + 30.0, "context length (tokens)",
              aligned(kLabelStyle, Align::kCentre));
}

void draw_colour_bar(Canvas& canvas, const NiahPictureOptions& options, const Layout& layout) {
  const double room = layout.width - kGutter - kMargin;
  canvas.text(kGutter, layout.bar_y - 6.0, shortened(options.score_label, kLabelStyle, room),
              kLabelStyle);
  canvas.gradient_rectangle(kGutter, layout.bar_y, kBarWidth, kBarHeight,
                            {colour_of(0.0), colour_of(0.5), colour_of(1.0)});
  for (const char* tick : {"0.0", "0.5", "1.0"}) {
    canvas.text(kGutter + kBarWidth * std::atof(tick), layout.bar_y + kBarHeight + 12.0, tick,
                aligned(kTickStyle, Align::kCentre));
  }
}

}  // namespace

std::array<double, 3> niah_colour(double score) {
  constexpr std::array<std::array<int, 3>, 3> kStops{
      {{0xF0, 0x49, 0x6E}, {0xEB, 0xB8, 0x39}, {0x0C, 0xD7, 0x9F}}};
  const double at = std::clamp(score, 0.0, 1.0) * 2.0;
  const size_t below = at < 1.0 ? 0 : 1;
  const double share = at - static_cast<double>(below);
  std::array<double, 3> rgb{};
  for (size_t i = 0; i < rgb.size(); ++i) {
    rgb[i] = ((1.0 - share) * kStops[below][i] + share * kStops[below + 1][i]) / 255.0;
  }
  return rgb;
}

void write_niah_picture(const std::vector<NiahCell>& cells,
                        const NiahPictureOptions& options,
                        const std::filesystem::path& path,
                        bool overwrite) {
  if (cells.empty()) throw std::invalid_argument("write_niah_picture: no cells");
  const Grid grid(cells);
  const Layout layout(grid, options);
  Canvas canvas(path, overwrite, layout.width, layout.height);
  const double room = layout.width - 2.0 * kMargin;
  canvas.text(kMargin, 32.0, shortened(options.title, kTitleStyle, room), kTitleStyle);
  canvas.text(kMargin, 49.0, shortened(options.subtitle, kSubtitleStyle, room), kSubtitleStyle);
  draw_cells(canvas, grid, layout);
  draw_axes(canvas, grid, layout);
  draw_colour_bar(canvas, options, layout);
  canvas.save(options.title,
              options.subtitle + " " + options.score_label + " per context length and depth.");
}

}  // namespace headscope::outputs
