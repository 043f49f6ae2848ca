#include "outputs/frontier_picture.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <set>
#include <stdexcept>

#include "outputs/picture_style.h"

namespace headscope::outputs {
namespace {

// All lengths are points.
constexpr double kTop = 62.0;
constexpr double kPanelWidth = 300.0;  // axes, labels and the space to the next panel included
constexpr double kPanelHeight = 262.0;
constexpr double kPlotLeft = 40.0;
constexpr double kPlotTop = 22.0;
constexpr double kPlotWidth = 240.0;
constexpr double kPlotHeight = 190.0;
constexpr double kLegendRow = 15.0;
constexpr size_t kMostColumns = 3;

constexpr Colour kGrid{0.88, 0.88, 0.89};

const TextStyle kPanelStyle{.size = 10.5, .bold = true, .colour = kInk};
const TextStyle kLabelStyle{.size = 9.5, .colour = kInk};

// M. Okabe and K. Ito, Color Universal Design, 2008.
constexpr std::array<Colour, 8> kColours{{{0.00, 0.45, 0.70},
                                          {0.84, 0.37, 0.00},
                                          {0.00, 0.62, 0.45},
                                          {0.80, 0.47, 0.65},
                                          {0.90, 0.62, 0.00},
                                          {0.34, 0.71, 0.91},
                                          {0.50, 0.50, 0.50},
                                          {0.10, 0.10, 0.10}}};

// Where numbers of all panels lie: the least retention's decade half and 1, accuracies 0 and 1.
struct Axes {
  double least = 1.0;
  std::vector<double> ticks;

  explicit Axes(const std::vector<FrontierPanel>& panels) {
    for (const FrontierPanel& panel : panels) {
      for (const FrontierLine& line : panel.lines) {
        for (const FrontierPoint& point : line.points) least = std::min(least, point.retention);
      }
    }
    for (double decade = 1.0; decade >= 1e-6; decade /= 10.0) {
      for (const double factor : {1.0, 0.5, 0.2}) {
        ticks.push_back(decade * factor);
        if (ticks.back() <= least * (1.0 + 1e-9) && ticks.size() > 1) {
          least = ticks.back();
          return;
        }
      }
    }
    least = ticks.back();
  }
  // 0..1 along the axis.
  [[nodiscard]] double position(double retention) const {
    return 1.0 - std::log(std::clamp(retention, least, 1.0)) / std::log(least);
  }
};

std::vector<std::string> names_of(const std::vector<FrontierPanel>& panels) {
  std::vector<std::string> names;
  for (const FrontierPanel& panel : panels) {
    for (const FrontierLine& line : panel.lines) {
      if (std::find(names.begin(), names.end(), line.name) == names.end()) {
        names.push_back(line.name);
      }
    }
  }
  return names;
}

Colour colour_of(size_t index) {
  return kColours[index % kColours.size()];
}

void draw_mark(Canvas& canvas, double x, double y, size_t index) {
  constexpr double kHalf = 2.6;
  const bool is_open = (index / kColours.size()) % 2 == 1;
  canvas.fill_rectangle(x - kHalf, y - kHalf, 2 * kHalf, 2 * kHalf, colour_of(index));
  if (is_open) {
    canvas.fill_rectangle(x - kHalf + 1.1, y - kHalf + 1.1, 2 * (kHalf - 1.1), 2 * (kHalf - 1.1),
                          kPaper);
  }
}

class PanelDrawing {
 public:
  PanelDrawing(Canvas& canvas, const Axes& axes, double left, double top)
      : canvas_(canvas), axes_(axes), left_(left + kPlotLeft), top_(top + kPlotTop) {}

  void draw_frame(const FrontierPanel& panel) {
    canvas_.text(left_, top_ - 9.0, shortened(panel.title, kPanelStyle, kPlotWidth), kPanelStyle);
    for (int i = 0; i <= 5; ++i) {
      const double value = i / 5.0;
      canvas_.line(left_, y(value), left_ + kPlotWidth, y(value), 0.5, kGrid);
      char number[8];
      std::snprintf(number, sizeof number, "%.1f", value);
      canvas_.text(left_ - 5.0, y(value) + 3.0, number, aligned(kTickStyle, Align::kRight));
    }
    double last = left_ + kPlotWidth + 100.0;
    for (const double tick : axes_.ticks) {
      canvas_.line(x(tick), top_, x(tick), top_ + kPlotHeight, 0.5, kGrid);
      char percent[24];
      std::snprintf(percent, sizeof percent, "%.3g %%", 100.0 * tick);
      if (last - x(tick) < text_width(percent, kTickStyle) + 5.0) continue;
      last = x(tick);
      canvas_.text(last, top_ + kPlotHeight + 12.0, percent, aligned(kTickStyle, Align::kCentre));
    }
    canvas_.text(left_ + 0.5 * kPlotWidth, top_ + kPlotHeight + 26.0, "kept of the cache",
                 aligned(kLabelStyle, Align::kCentre));
    canvas_.text(left_ - 28.0, top_ + 0.5 * kPlotHeight, "accuracy",
                 aligned(kLabelStyle, Align::kCentre, -90.0));
  }

  void draw_full(const FrontierPoint& full) {
    if (std::isnan(full.accuracy)) return;
    constexpr double kDash = 5.0;
    for (double at = 0.0; at < kPlotWidth; at += 2.0 * kDash) {
      const double end = std::min(at + kDash, kPlotWidth);
      canvas_.line(left_ + at, y(full.accuracy), left_ + end, y(full.accuracy), 1.2, kInk);
    }
  }

  // Lines stand a little beside each other, so that intervals of one retention do not cover up.
  void draw_line(const FrontierLine& line, size_t index, size_t num_lines) {
    const double step = std::min(3.0, 14.0 / static_cast<double>(num_lines));
    const double beside =
        step * (static_cast<double>(index) - 0.5 * static_cast<double>(num_lines - 1));
    std::vector<FrontierPoint> points = line.points;
    std::sort(points.begin(), points.end(), [](const FrontierPoint& a, const FrontierPoint& b) {
      return a.retention < b.retention;
    });
    for (size_t i = 0; i < points.size(); ++i) {
      const FrontierPoint& point = points[i];
      const double at = x(point.retention) + beside;
      canvas_.line(at, y(point.low), at, y(point.high), 0.7, colour_of(index));
      if (i > 0) {
        canvas_.line(x(points[i - 1].retention) + beside, y(points[i - 1].accuracy), at,
                     y(point.accuracy), 1.5, colour_of(index));
      }
    }
    for (const FrontierPoint& point : points) {
      draw_mark(canvas_, x(point.retention) + beside, y(point.accuracy), index);
    }
  }

 private:
  [[nodiscard]] double x(double retention) const {
    return left_ + kPlotWidth * axes_.position(retention);
  }
  [[nodiscard]] double y(double accuracy) const {
    return top_ + kPlotHeight * (1.0 - std::clamp(accuracy, 0.0, 1.0));
  }

  Canvas& canvas_;
  const Axes& axes_;
  double left_;
  double top_;
};

// Left to right in rows of the picture's width; the full cache first. Returns the rows.
size_t draw_legend(Canvas* canvas,
                   const std::vector<std::string>& names,
                   double width,
                   double top) {
  double x = kMargin;
  size_t row = 0;
  const auto place = [&](const std::string& name) {
    const double needed = 24.0 + text_width(name, kTickStyle) + 16.0;
    if (x > kMargin && x + needed > width - kMargin) {
      x = kMargin;
      ++row;
    }
    const double at = x;
    x += needed;
    return std::pair(at, top + static_cast<double>(row) * kLegendRow);
  };
  const auto [full_x, full_y] = place("full cache");
  if (canvas != nullptr) {
    canvas->line(full_x, full_y, full_x + 7.0, full_y, 1.2, kInk);
    canvas->line(full_x + 11.0, full_y, full_x + 18.0, full_y, 1.2, kInk);
    canvas->text(full_x + 23.0, full_y + 3.0, "full cache", kTickStyle);
  }
  for (size_t i = 0; i < names.size(); ++i) {
    const auto [at, y] = place(names[i]);
    if (canvas == nullptr) continue;
    canvas->line(at, y, at + 18.0, y, 1.5, colour_of(i));
    draw_mark(*canvas, at + 9.0, y, i);
    canvas->text(at + 23.0, y + 3.0, names[i], kTickStyle);
  }
  return row + 1;
}

void check(const std::vector<FrontierPanel>& panels) {
  if (panels.empty()) throw std::invalid_argument("write_frontier_picture: no panel");
  for (const FrontierPanel& panel : panels) {
    const bool any = std::any_of(panel.lines.begin(), panel.lines.end(),
                                 [](const FrontierLine& line) { return !line.points.empty(); });
    if (!any) throw std::invalid_argument("write_frontier_picture: a panel without points");
  }
}

}  // namespace

void write_frontier_picture(const std::vector<FrontierPanel>& panels,
                            const FrontierOptions& options,
                            const std::filesystem::path& path,
                            bool overwrite) {
  check(panels);
  const Axes axes(panels);
  const std::vector<std::string> names = names_of(panels);
  const size_t columns = std::min(kMostColumns, panels.size());
  const size_t rows = (panels.size() + columns - 1) / columns;
  const double words = std::max(text_width(options.title, kTitleStyle),
                                text_width(options.subtitle, kSubtitleStyle));
  const double width =
      std::ceil(std::max({static_cast<double>(columns) * kPanelWidth + 2.0 * kMargin, 420.0,
                          std::min(words, 900.0) + 2.0 * kMargin}));
  const double legend = kTop + static_cast<double>(rows) * kPanelHeight + 8.0;
  const double height =
      legend + static_cast<double>(draw_legend(nullptr, names, width, legend)) * kLegendRow + 14.0;
  Canvas canvas(path, overwrite, width, height);
  const double room = width - 2.0 * kMargin;
  canvas.text(kMargin, 30.0, shortened(options.title, kTitleStyle, room), kTitleStyle);
  canvas.text(kMargin, 47.0, shortened(options.subtitle, kSubtitleStyle, room), kSubtitleStyle);
  for (size_t i = 0; i < panels.size(); ++i) {
    PanelDrawing drawing(canvas, axes, kMargin + static_cast<double>(i % columns) * kPanelWidth,
                         kTop + static_cast<double>(i / columns) * kPanelHeight);
    drawing.draw_frame(panels[i]);
    drawing.draw_full(panels[i].full);
    for (const FrontierLine& line : panels[i].lines) {
      const auto name = std::find(names.begin(), names.end(), line.name);
      drawing.draw_line(line, static_cast<size_t>(name - names.begin()), names.size());
    }
  }
  static_cast<void>(draw_legend(&canvas, names, width, legend));
  canvas.save(options.title, options.subtitle + " Accuracy against the kept share of the cache.");
}

}  // namespace headscope::outputs
