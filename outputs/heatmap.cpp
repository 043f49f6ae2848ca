#include "outputs/heatmap.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <stdexcept>

#include "outputs/picture_style.h"

namespace headscope::outputs {
namespace {

// All lengths are points.
constexpr double kGutter = 72.0;  // left of the cells: layer numbers and names of the rows below
constexpr double kNarrowest = 440.0;
constexpr double kWidestTitle = 720.0;
constexpr double kBarWidth = 220.0;
constexpr double kBarHeight = 10.0;
constexpr double kLegendOffset = 28.0;  // right of the colour bar
constexpr double kSwatch = 11.0;
constexpr double kSwatchText = kSwatch + 6.0;

constexpr Colour kMark{0.84, 0.10, 0.16};

const TextStyle kLabelStyle{.size = 10.0, .colour = kInk};

// Ten control values of viridis (S. van der Walt and N. Smith, 2015; public domain).
constexpr std::array<std::array<int, 3>, 10> kViridis{{{0x44, 0x01, 0x54},
                                                       {0x48, 0x28, 0x78},
                                                       {0x3E, 0x4A, 0x89},
                                                       {0x31, 0x68, 0x8E},
                                                       {0x26, 0x82, 0x8E},
                                                       {0x1F, 0x9E, 0x89},
                                                       {0x35, 0xB7, 0x79},
                                                       {0x6D, 0xCD, 0x59},
                                                       {0xB4, 0xDE, 0x2C},
                                                       {0xFD, 0xE7, 0x25}}};

Colour colour_at(double position) {
  return colour_from(sequential_colour(position));
}

// The smallest of 1, 2, 5 times a power of ten that is not below `step`.
double round_up_step(double step) {
  const double power = std::pow(10.0, std::floor(std::log10(step)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= step * (1.0 - 1e-9)) return factor * power;
  }
  return 10.0 * power;
}

// What the colours stand for.
struct Scale {
  double low = 0.0;
  double high = 1.0;
  double step = 0.2;   // between ticks
  bool below = false;  // values lie below low, and take its colour
  bool above = false;
  [[nodiscard]] double position(double value) const { return (value - low) / (high - low); }
};

Scale make_scale(const HeadMatrix& scores, const HeatmapOptions& options) {
  double smallest = 0.0;
  double largest = 0.0;
  bool any = false;
  for (const double value : scores.values) {
    if (!std::isfinite(value)) continue;
    smallest = any ? std::min(smallest, value) : value;
    largest = any ? std::max(largest, value) : value;
    any = true;
  }
  Scale scale;
  scale.low = options.low.value_or(std::min(0.0, smallest));
  scale.high = options.high.value_or(largest);
  if (!(scale.high > scale.low)) scale.high = scale.low + 1.0;
  scale.step = round_up_step((scale.high - scale.low) / 5.0);
  if (!options.low) scale.low = scale.step * std::floor(scale.low / scale.step + 1e-9);
  if (!options.high) {
    scale.high = scale.low + scale.step * std::ceil((scale.high - scale.low) / scale.step - 1e-9);
  }
  scale.below = any && smallest < scale.low;
  scale.above = any && largest > scale.high;
  return scale;
}

std::string number_text(double value, double step) {
  const int digits = std::clamp(static_cast<int>(-std::floor(std::log10(step) + 1e-9)), 0, 12);
  char text[48];
  if (digits > 4 || std::abs(value) >= 1e6) {
    std::snprintf(text, sizeof(text), "%.3g", value);
  } else {
    std::snprintf(text, sizeof(text), "%.*f", digits, value);
  }
  return text;
}

struct Layout {
  double cell_width = 0.0;
  double cell_height = 0.0;
  double gap = 0.0;  // between cells
  double left = 0.0;
  double top = 0.0;
  double plot_width = 0.0;
  double plot_height = 0.0;
  double brackets_y = 0.0;  // of their horizontal line
  double bar_y = 0.0;
  double width = 0.0;
  double height = 0.0;
};

// Wide enough for the cells, and within reason for the words.
double picture_width(const HeatmapOptions& options, double plot_width) {
  const double words = std::max({text_width(options.title, kTitleStyle),
                                 text_width(options.subtitle, kSubtitleStyle),
                                 text_width(options.score_label, kLabelStyle) + kGutter - kMargin});
  const double marks = options.marked.empty() ? 0.0 : text_width(options.marked_label, kTickStyle);
  const double legend = kGutter - kMargin + kBarWidth + kLegendOffset + kSwatchText + marks;
  return std::max({kNarrowest, kGutter + plot_width + kMargin,
                   2.0 * kMargin + std::min(kWidestTitle, std::max(words, legend))});
}

Layout make_layout(const HeadMatrix& scores, const HeatmapOptions& options) {
  Layout layout;
  const auto heads = static_cast<double>(scores.num_heads);
  const auto layers = static_cast<double>(scores.num_layers);
  layout.cell_width = std::clamp(std::floor(620.0 / heads), 9.0, 40.0);
  layout.cell_height = std::clamp(std::floor(560.0 / layers), 9.0, 28.0);
  layout.gap = std::min(layout.cell_width, layout.cell_height) >= 16.0 ? 1.0 : 0.5;
  layout.left = kGutter;
  layout.top = options.subtitle.empty() ? 50.0 : 66.0;
  layout.plot_width = heads * layout.cell_width;
  layout.plot_height = layers * layout.cell_height;
  const double bottom = layout.top + layout.plot_height;
  layout.brackets_y = bottom + 25.0;
  layout.bar_y = options.query_group_size > 1 ? bottom + 74.0 : bottom + 50.0;
  layout.width = std::ceil(picture_width(options, layout.plot_width));
  layout.height = layout.bar_y + kBarHeight + 36.0;
  return layout;
}

void draw_hatched(Canvas& canvas, double x, double y, double width, double height) {
  canvas.fill_rectangle(x, y, width, height, kUnmeasured);
  canvas.line(x, y + height, x + width, y, 0.7, kHatch);
}

void draw_mark(Canvas& canvas, double x, double y, double width, double height) {
  canvas.outline_rectangle(x + 1.0, y + 1.0, width - 2.0, height - 2.0, 2.0, kPaper);
  canvas.outline_rectangle(x + 0.75, y + 0.75, width - 1.5, height - 1.5, 1.5, kMark);
}

void draw_cells(Canvas& canvas,
                const HeadMatrix& scores,
                const HeatmapOptions& options,
                const Scale& scale,
                const Layout& layout) {
  const double width = layout.cell_width - layout.gap;
  const double height = layout.cell_height - layout.gap;
  const auto x_of = [&](int64_t head) {
    return layout.left + static_cast<double>(head) * layout.cell_width;
  };
  const auto y_of = [&](int64_t layer) {
    return layout.top + static_cast<double>(layer) * layout.cell_height;
  };
  for (int64_t layer = 0; layer < scores.num_layers; ++layer) {
    for (int64_t head = 0; head < scores.num_heads; ++head) {
      const double value = scores.at(layer, head);
      if (std::isnan(value)) {
        draw_hatched(canvas, x_of(head), y_of(layer), width, height);
      } else {
        canvas.fill_rectangle(x_of(head), y_of(layer), width, height,
                              colour_at(scale.position(value)));
      }
    }
  }
  // A wider gap where one KV head's query heads end.
  for (int64_t head = options.query_group_size; head < scores.num_heads;
       head += options.query_group_size) {
    if (options.query_group_size == 1) break;
    const double x = x_of(head) - 0.5 * layout.gap;
    canvas.line(x, layout.top, x, layout.top + layout.plot_height, layout.gap + 1.0, kPaper);
  }
  for (const HeadId& id : options.marked) {
    draw_mark(canvas, x_of(id.head), y_of(id.layer), width, height);
  }
}

// The smallest step of `steps` that keeps labels `room` apart.
int64_t tick_step(std::initializer_list<int64_t> steps, double cell, double room) {
  for (const int64_t step : steps) {
    if (static_cast<double>(step) * cell >= room) return step;
  }
  return *(steps.end() - 1);
}

void draw_axes(Canvas& canvas, const HeadMatrix& scores, const Layout& layout) {
  const int64_t row_step =
      tick_step({1, 2, 5, 10, 20, 50, 100, 200, 500, 1000}, layout.cell_height, 12.0);
  for (int64_t layer = 0; layer < scores.num_layers; layer += row_step) {
    const double y = layout.top + (static_cast<double>(layer) + 0.5) * layout.cell_height;
    canvas.text(layout.left - 6.0, y + 3.0, std::to_string(layer),
                aligned(kTickStyle, Align::kRight));
  }
  TextStyle along = aligned(kLabelStyle, Align::kCentre);
  along.angle = -90.0;
  canvas.text(layout.left - 34.0, layout.top + 0.5 * layout.plot_height, "layer", along);

  const double widest = text_width(std::to_string(scores.num_heads - 1), kTickStyle);
  const int64_t column_step =
      tick_step({1, 2, 4, 8, 16, 32, 64, 128, 256, 512}, layout.cell_width, widest + 5.0);
  const double y = layout.top + layout.plot_height + 12.0;
  for (int64_t head = 0; head < scores.num_heads; head += column_step) {
    const double x = layout.left + (static_cast<double>(head) + 0.5) * layout.cell_width;
    canvas.text(x, y, std::to_string(head), aligned(kTickStyle, Align::kCentre));
  }
  canvas.text(layout.left - 6.0, y, "head", aligned(kLabelStyle, Align::kRight));
}

void draw_brackets(Canvas& canvas,
                   const HeadMatrix& scores,
                   const HeatmapOptions& options,
                   const Layout& layout) {
  if (options.query_group_size <= 1) return;
  const int64_t groups = scores.num_heads / options.query_group_size;
  const double group_width = static_cast<double>(options.query_group_size) * layout.cell_width;
  const double widest = text_width(std::to_string(groups - 1), kTickStyle);
  const int64_t step = tick_step({1, 2, 4, 8, 16, 32, 64, 128}, group_width, widest + 5.0);
  const double y = layout.brackets_y;
  for (int64_t group = 0; group < groups; ++group) {
    const double begin = layout.left + static_cast<double>(group) * group_width + 2.0;
    const double end = begin + group_width - 4.0 - layout.gap;
    canvas.line(begin, y, end, y, 1.0, kFaintInk);
    canvas.line(begin + 0.5, y - 4.0, begin + 0.5, y, 1.0, kFaintInk);
    canvas.line(end - 0.5, y - 4.0, end - 0.5, y, 1.0, kFaintInk);
    if (group % step == 0) {
      canvas.text(0.5 * (begin + end), y + 12.0, std::to_string(group),
                  aligned(kTickStyle, Align::kCentre));
    }
  }
  canvas.text(layout.left - 6.0, y + 12.0, "KV head", aligned(kLabelStyle, Align::kRight));
}

void draw_colour_bar(Canvas& canvas,
                     const HeatmapOptions& options,
                     const Scale& scale,
                     const Layout& layout) {
  const double x = layout.left;
  const double y = layout.bar_y;
  std::vector<Colour> colours;
  for (size_t i = 0; i < kViridis.size(); ++i) {
    colours.push_back(colour_at(static_cast<double>(i) / (kViridis.size() - 1.0)));
  }
  canvas.text(x, y - 6.0, shortened(options.score_label, kLabelStyle, layout.width - x - kMargin),
              kLabelStyle);
  canvas.gradient_rectangle(x, y, kBarWidth, kBarHeight, colours);
  const double first = scale.step * std::ceil(scale.low / scale.step - 1e-9);
  for (double value = first; value <= scale.high + 1e-9 * scale.step; value += scale.step) {
    const double at = x + kBarWidth * scale.position(value);
    canvas.line(at, y + kBarHeight, at, y + kBarHeight + 3.0, 0.8, kFaintInk);
    const bool lowest = scale.below && scale.position(value) < 1e-6;
    const bool highest = scale.above && scale.position(value) > 1.0 - 1e-6;
    // An exact zero: sums of steps may leave -0.
    const double shown = std::abs(value) < 1e-9 * scale.step ? 0.0 : value;
    canvas.text(at, y + kBarHeight + 12.5,
                (lowest ? "≤ " : (highest ? "≥ " : "")) + number_text(shown, scale.step),
                aligned(kTickStyle, Align::kCentre));
  }
}

// Beside the colour bar, from its right end on.
void draw_legend(Canvas& canvas,
                 const HeadMatrix& scores,
                 const HeatmapOptions& options,
                 const Layout& layout) {
  const double x = layout.left + kBarWidth + kLegendOffset;
  double y = layout.bar_y - 1.0;
  const double room = layout.width - kMargin - x - kSwatchText + 0.5;
  const bool unmeasured = std::any_of(scores.values.begin(), scores.values.end(),
                                      [](double value) { return std::isnan(value); });
  if (unmeasured) {
    draw_hatched(canvas, x, y, kSwatch, kSwatch);
    canvas.text(x + kSwatchText, y + 9.0, shortened("not measured", kTickStyle, room), kTickStyle);
    y += kSwatch + 6.0;
  }
  if (!options.marked.empty()) {
    canvas.fill_rectangle(x, y, kSwatch, kSwatch, colour_at(0.35));
    draw_mark(canvas, x, y, kSwatch, kSwatch);
    canvas.text(x + kSwatchText, y + 9.0, shortened(options.marked_label, kTickStyle, room),
                kTickStyle);
  }
}

void check(const HeadMatrix& scores, const HeatmapOptions& options) {
  const bool sound =
      scores.num_layers > 0 && scores.num_heads > 0 &&
      static_cast<int64_t>(scores.values.size()) == scores.num_layers * scores.num_heads;
  if (!sound) throw std::invalid_argument("write_heatmap: an empty or ragged matrix");
  if (options.query_group_size < 1 || scores.num_heads % options.query_group_size != 0) {
    throw std::invalid_argument("write_heatmap: query_group_size " +
                                std::to_string(options.query_group_size) + " for " +
                                std::to_string(scores.num_heads) + " heads");
  }
  for (const HeadId& id : options.marked) {
    if (id.layer < 0 || id.layer >= scores.num_layers || id.head < 0 ||
        id.head >= scores.num_heads) {
      throw std::invalid_argument("write_heatmap: marked head " + head_name(id) +
                                  " is out of range");
    }
  }
}

}  // namespace

std::array<double, 3> sequential_colour(double position) {
  const double at = std::clamp(position, 0.0, 1.0) * (kViridis.size() - 1.0);
  const auto below = std::min(static_cast<size_t>(at), kViridis.size() - 2);
  const double share = at - static_cast<double>(below);
  std::array<double, 3> rgb{};
  for (size_t i = 0; i < rgb.size(); ++i) {
    rgb[i] = ((1.0 - share) * kViridis[below][i] + share * kViridis[below + 1][i]) / 255.0;
  }
  return rgb;
}

void write_heatmap(const HeadMatrix& scores,
                   const HeatmapOptions& options,
                   const std::filesystem::path& path,
                   bool overwrite) {
  check(scores, options);
  const Scale scale = make_scale(scores, options);
  const Layout layout = make_layout(scores, options);
  Canvas canvas(path, overwrite, layout.width, layout.height);
  const double room = layout.width - 2.0 * kMargin;
  canvas.text(kMargin, 32.0, shortened(options.title, kTitleStyle, room), kTitleStyle);
  canvas.text(kMargin, 49.0, shortened(options.subtitle, kSubtitleStyle, room), kSubtitleStyle);
  draw_cells(canvas, scores, options, scale, layout);
  draw_axes(canvas, scores, layout);
  draw_brackets(canvas, scores, options, layout);
  draw_colour_bar(canvas, options, scale, layout);
  draw_legend(canvas, scores, options, layout);
  canvas.save(options.title, options.subtitle + " " + options.score_label + " per layer and head.");
}

}  // namespace headscope::outputs
