#include "outputs/heatmap.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <map>
#include <regex>

#include "outputs/atomic_file.h"
#include "tests/outputs/samples.h"
#include "tests/support/scratch_folder.h"

namespace headscope::outputs {
namespace {

using testing::ScratchFolder;

HeatmapOptions options_of(int64_t group) {
  HeatmapOptions options;
  options.title = "tiny <llama> · srh";
  options.subtitle = "24 probes, 22 successful";
  options.score_label = "mean attention mass";
  options.query_group_size = group;
  options.low = 0.0;
  options.high = 1.0;
  return options;
}

std::string svg_of(const HeadMatrix& scores, const HeatmapOptions& options) {
  const ScratchFolder folder;
  write_heatmap(scores, options, folder / "x.svg", false);
  return read_file(folder / "x.svg");
}

// How often each colour appears in the drawing.
std::map<std::string, int> colours_of(const std::string& svg) {
  std::map<std::string, int> counts;
  const std::regex colour("rgb\\([^)]*\\)");
  for (std::sregex_iterator at(svg.begin(), svg.end(), colour); at != std::sregex_iterator();
       ++at) {
    ++counts[at->str()];
  }
  return counts;
}

int most_frequent(const std::map<std::string, int>& counts) {
  int most = 0;
  for (const auto& [colour, count] : counts) most = std::max(most, count);
  return most;
}

int64_t big_endian(const std::string& bytes, size_t at) {
  int64_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value * 256 + static_cast<unsigned char>(bytes[at + i]);
  return value;
}

}  // namespace

TEST_CASE("colours grow lighter with the value, from first to last", "[outputs]") {
  double before = -1.0;
  for (int i = 0; i <= 100; ++i) {
    const auto [red, green, blue] = sequential_colour(i / 100.0);
    const double luminance =
        0.2126 * std::pow(red, 2.2) + 0.7152 * std::pow(green, 2.2) + 0.0722 * std::pow(blue, 2.2);
    INFO("position " << i / 100.0);
    CHECK(luminance > before);
    before = luminance;
  }
  CHECK(sequential_colour(-3.0) == sequential_colour(0.0));
  CHECK(sequential_colour(7.0) == sequential_colour(1.0));
}

TEST_CASE("a heat map has one cell per head", "[outputs]") {
  // All cells of one colour that nothing else has: it is found as often as there are cells.
  const HeadMatrix scores(7, 12, 0.37);
  CHECK(most_frequent(colours_of(svg_of(scores, options_of(1)))) == 7 * 12);
}

TEST_CASE("a heat map brackets the heads of each KV head", "[outputs]") {
  const HeadMatrix scores(2, 12, 0.37);
  const auto strokes = [&](int64_t group) {
    const std::string svg = svg_of(scores, options_of(group));
    const std::regex stroke("stroke-width[:=]");
    return std::distance(std::sregex_iterator(svg.begin(), svg.end(), stroke),
                         std::sregex_iterator());
  };
  // Three lines a bracket, and a white line between neighbouring groups.
  const auto without = strokes(1);
  CHECK(strokes(4) - without == 3 * 3 + 2);
  CHECK(strokes(2) - without == 3 * 6 + 5);
}

TEST_CASE("an SVG heat map carries its words", "[outputs]") {
  const std::string svg = svg_of(HeadMatrix(2, 4, 0.5), options_of(2));
  CHECK(contains(svg, "<title>tiny &lt;llama&gt; · srh</title>"));
  CHECK(contains(svg, "24 probes, 22 successful"));
}

TEST_CASE("heads without a value are drawn apart from every colour of the scale", "[outputs]") {
  HeadMatrix scores(2, 4, 0.37);
  const auto full = colours_of(svg_of(scores, options_of(1)));
  scores.at(1, 2) = std::numeric_limits<double>::quiet_NaN();
  const auto partly = colours_of(svg_of(scores, options_of(1)));
  CHECK(partly.size() == full.size() + 2);  // the grey and its hatching
}

TEST_CASE("a marked head is outlined", "[outputs]") {
  HeatmapOptions options = options_of(2);
  const HeadMatrix scores(2, 4, 0.37);
  const auto plain = colours_of(svg_of(scores, options));
  options.marked = {{1, 3}, {0, 0}};
  const auto marked = colours_of(svg_of(scores, options));
  CHECK(marked.size() > plain.size());
}

TEST_CASE("a PNG heat map grows with the matrix", "[outputs]") {
  const ScratchFolder folder;
  const auto size_of = [&](int64_t layers, int64_t heads) {
    write_heatmap(HeadMatrix(layers, heads, 0.1), options_of(1), folder / "x.png", true);
    const std::string bytes = read_file(folder / "x.png");
    REQUIRE(bytes.substr(1, 3) == "PNG");
    return std::pair(big_endian(bytes, 16), big_endian(bytes, 20));
  };
  const auto [narrow, tall] = size_of(80, 9);
  const auto [wide, low] = size_of(4, 64);
  CHECK(tall > 2 * 80 * 9);
  CHECK(wide > 2 * 64 * 9);
  CHECK(narrow < wide);
  CHECK(low < tall);
  CHECK(tall < 2000);
}

TEST_CASE("unusual values still make a picture", "[outputs]") {
  const ScratchFolder folder;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  HeatmapOptions options;
  options.title = "bad bytes \xff\xc3( in a name";
  for (const double value :
       {nan, 0.0, -1.0, 1e-12, 1e300, std::numeric_limits<double>::infinity()}) {
    INFO(value);
    CHECK_NOTHROW(write_heatmap(HeadMatrix(1, 1, value), options, folder / "x.svg", true));
    CHECK_NOTHROW(write_heatmap(HeadMatrix(1, 1, value), options, folder / "x.png", true));
  }
}

TEST_CASE("a picture of another kind, or over an existing file, is refused", "[outputs]") {
  const ScratchFolder folder;
  const HeadMatrix scores(2, 4, 0.5);
  const auto complaint_for = [&](const std::string& name) {
    return complaint([&] { write_heatmap(scores, options_of(2), folder / name, false); });
  };
  CHECK(contains(complaint_for("x.jpg"), ".png or .svg"));
  CHECK(contains(complaint_for("x"), "no extension"));
  CHECK(complaint_for("x.PNG").empty());
  CHECK(contains(complaint_for("x.PNG"), "--force"));
  CHECK(folder.names().size() == 1);
}

TEST_CASE("a heat map of nothing is the caller's bug", "[outputs]") {
  HeatmapOptions options = options_of(3);
  CHECK_THROWS_AS(write_heatmap(HeadMatrix(), options, "x.png", false), std::invalid_argument);
  CHECK_THROWS_AS(write_heatmap(HeadMatrix(2, 4), options, "x.png", false), std::invalid_argument);
  options.query_group_size = 2;
  options.marked = {{2, 0}};
  CHECK_THROWS_AS(write_heatmap(HeadMatrix(2, 4), options, "x.png", false), std::invalid_argument);
}

}  // namespace headscope::outputs
