// How accuracy falls as less of the cache is kept: a line per method, panels side by side.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace headscope::outputs {

struct FrontierPoint {
  double retention = 1.0;  // above 0, at most 1
  double accuracy = 0.0;   // 0..1
  double low = 0.0;        // its interval
  double high = 0.0;
};

struct FrontierLine {
  std::string name;  // the method; the same name has the same colour in every panel
  std::vector<FrontierPoint> points;
};

struct FrontierPanel {
  std::string title;  // "needle, 1024 tokens"
  FrontierPoint full;
  std::vector<FrontierLine> lines;
};

struct FrontierOptions {
  std::string title;
  std::string subtitle;
};

// PNG or SVG by the extension of `path`; another one is an InputError. Retention is on a
// logarithmic axis, the full cache a dashed line. Colours are those of Okabe and Ito (2008), which
// colour-blind readers tell apart; beyond eight lines they come again, with open squares.
// std::invalid_argument where there is no panel, or a panel without a point.
void write_frontier_picture(const std::vector<FrontierPanel>& panels,
                            const FrontierOptions& options,
                            const std::filesystem::path& path,
                            bool overwrite);

}  // namespace headscope::outputs
