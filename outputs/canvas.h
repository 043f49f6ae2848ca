// Drawing on paper measured in points (1/72 inch), origin at the top left. One drawing becomes PNG
// or SVG. Only canvas.cpp knows Cairo.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace headscope::outputs {

// Red, green, blue, each 0..1.
struct Colour {
  double red = 0.0;
  double green = 0.0;
  double blue = 0.0;
};

enum class Align { kLeft, kCentre, kRight };

struct TextStyle {
  double size = 10.0;  // points
  bool bold = false;
  Align align = Align::kLeft;  // of the text about the point, along its own direction
  double angle = 0.0;          // degrees, clockwise about the point
  Colour colour;
};

class Canvas {
 public:
  // The kind of picture follows the extension of `path`. Throws InputError, listing the extensions,
  // for one that is neither .png nor .svg, and when `path` cannot be written. PNG pictures have two
  // pixels per point.
  Canvas(const std::filesystem::path& path, bool overwrite, double width, double height);
  ~Canvas();
  Canvas(const Canvas&) = delete;
  Canvas& operator=(const Canvas&) = delete;

  void fill_rectangle(double x, double y, double width, double height, Colour colour);
  void outline_rectangle(
      double x, double y, double width, double height, double line, Colour colour);
  void line(double x0, double y0, double x1, double y1, double width, Colour colour);
  // Colours from the left edge (first) to the right edge (last), evenly spaced.
  void gradient_rectangle(
      double x, double y, double width, double height, const std::vector<Colour>& colours);
  // (x, y) lies on the baseline. Bytes that are no UTF-8 become "?".
  void text(double x, double y, const std::string& words, const TextStyle& style);

  // Writes the file, whole or not at all. `title` and `description` go into an SVG for readers who
  // cannot see it.
  void save(const std::string& title, const std::string& description);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Width of a text in points, and the same text shortened with "…" to fit `most` points.
[[nodiscard]] double text_width(const std::string& words, const TextStyle& style);
[[nodiscard]] std::string shortened(const std::string& words, const TextStyle& style, double most);

}  // namespace headscope::outputs
