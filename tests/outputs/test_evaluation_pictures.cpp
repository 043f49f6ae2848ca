#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <regex>

#include "outputs/atomic_file.h"
#include "outputs/frontier_picture.h"
#include "outputs/niah_picture.h"
#include "tests/outputs/samples.h"
#include "tests/support/scratch_folder.h"

namespace headscope::outputs {
namespace {

using testing::ScratchFolder;

std::string niah_svg(const std::vector<NiahCell>& cells) {
  const ScratchFolder folder;
  write_niah_picture(cells, {"tiny · snapkv", "kept 6 %", "score"}, folder / "x.svg", false);
  return read_file(folder / "x.svg");
}

std::string frontier_svg(const std::vector<FrontierPanel>& panels) {
  const ScratchFolder folder;
  write_frontier_picture(panels, {"tiny", "question-aware"}, folder / "x.svg", false);
  return read_file(folder / "x.svg");
}

size_t count(const std::string& text, const std::string& piece) {
  size_t found = 0;
  for (size_t at = text.find(piece); at != std::string::npos; at = text.find(piece, at + 1)) {
    ++found;
  }
  return found;
}

// The colour as Cairo writes it into an SVG.
size_t fills_of(const std::string& svg, const std::array<double, 3>& colour) {
  const std::regex fill("rgb\\(([0-9.]+)%, *([0-9.]+)%, *([0-9.]+)%\\)");
  size_t found = 0;
  for (std::sregex_iterator at(svg.begin(), svg.end(), fill); at != std::sregex_iterator(); ++at) {
    bool same = true;
    for (size_t i = 0; i < 3; ++i) {
      same = same && std::abs(std::stod((*at)[i + 1]) / 100.0 - colour[i]) < 0.003;
    }
    found += same ? 1 : 0;
  }
  return found;
}

FrontierPanel panel_of(const std::string& title, const std::vector<std::string>& methods) {
  FrontierPanel panel{title, {1.0, 0.9, 0.8, 1.0}, {}};
  for (const std::string& method : methods) {
    panel.lines.push_back({method, {{0.5, 0.8, 0.7, 0.9}, {0.03, 0.3, 0.2, 0.4}}});
  }
  return panel;
}

}  // namespace

TEST_CASE("needle colours run from red over yellow to green", "[outputs]") {
  CHECK(niah_colour(0.0) == std::array<double, 3>{240 / 255.0, 73 / 255.0, 110 / 255.0});
  CHECK(niah_colour(0.5) == std::array<double, 3>{235 / 255.0, 184 / 255.0, 57 / 255.0});
  CHECK(niah_colour(1.0) == std::array<double, 3>{12 / 255.0, 215 / 255.0, 159 / 255.0});
  CHECK(niah_colour(0.25)[0] == Approx((240 + 235) / 510.0));
  CHECK(niah_colour(7.0) == niah_colour(1.0));
  CHECK(niah_colour(-1.0) == niah_colour(0.0));
}

TEST_CASE("a needle picture has a cell per length and depth, averaged", "[outputs]") {
  std::vector<NiahCell> cells;
  for (const int64_t length : {1024, 2048, 4096}) {
    for (const double depth : {0.0, 0.5, 1.0}) cells.push_back({length, depth, 0.2});
  }
  const size_t legend = 1;  // its gradient has the three stops only
  CHECK(fills_of(niah_svg(cells), niah_colour(0.2)) == 9);
  // A second sample of one place moves its mean.
  cells.push_back({2048, 0.5, 1.0});
  const std::string svg = niah_svg(cells);
  CHECK(fills_of(svg, niah_colour(0.2)) == 8);
  CHECK(fills_of(svg, niah_colour(0.6)) == legend);
  // A place without a sample is grey.
  cells = {{1024, 0.0, 0.2}, {2048, 1.0, 0.2}};
  CHECK(fills_of(niah_svg(cells), {0.88, 0.88, 0.89}) == 2);
}

TEST_CASE("a frontier draws every method in every panel, in one colour", "[outputs]") {
  const std::array<double, 3> first{0.00, 0.45, 0.70};
  const std::string one = frontier_svg({panel_of("needle", {"snapkv", "random"})});
  // A whisker and a mark per point, a line between two, and line and mark in the legend.
  CHECK(fills_of(one, first) == 2 * 2 + 1 + 2);
  const std::string two = frontier_svg(
      {panel_of("needle", {"snapkv", "random"}), panel_of("qa", {"random", "snapkv"})});
  CHECK(fills_of(two, first) == 2 * 5 + 2);
}

TEST_CASE("pictures of evaluations are PNG or SVG, and of something", "[outputs]") {
  const ScratchFolder folder;
  write_niah_picture({{1024, 0.5, 0.5}}, {"a", "b", "c"}, folder / "n.png", false);
  CHECK(read_file(folder / "n.png").substr(1, 3) == "PNG");
  // More lines than colours, more panels than columns, retentions down to a thousandth.
  std::vector<std::string> methods;
  for (int i = 0; i < 14; ++i) methods.push_back("method-" + std::to_string(i));
  std::vector<FrontierPanel> panels(5, panel_of("needle, 1024 tokens", methods));
  panels[0].lines[0].points.push_back({0.001, 0.0, 0.0, 0.1});
  panels[1].full.accuracy = std::nan("");
  write_frontier_picture(panels, {"a", "b"}, folder / "f.png", false);
  CHECK(read_file(folder / "f.png").substr(1, 3) == "PNG");
  CHECK(count(frontier_svg(panels), "rgb(") > 5 * 14 * 2);
  CHECK_THROWS_AS(write_niah_picture({{1, 0.0, 0.0}}, {}, folder / "x.jpg", false), InputError);
  CHECK_THROWS_AS(write_niah_picture({}, {}, folder / "x.png", false), std::invalid_argument);
  CHECK_THROWS_AS(write_frontier_picture({}, {}, folder / "x.png", false), std::invalid_argument);
  CHECK_THROWS_AS(write_frontier_picture({{"empty", {}, {}}}, {}, folder / "x.png", false),
                  std::invalid_argument);
}

}  // namespace headscope::outputs
