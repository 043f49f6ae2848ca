#include "outputs/canvas.h"

#include <cairo-svg.h>
#include <cairo.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <numbers>
#include <stdexcept>

#include "outputs/atomic_file.h"
#include "outputs/input_error.h"

namespace headscope::outputs {
namespace {

constexpr double kPixelsPerPoint = 2.0;
// Any system has a font behind this generic name; nothing depends on which.
constexpr const char* kFontFamily = "sans-serif";

struct DestroySurface {
  void operator()(cairo_surface_t* surface) const { cairo_surface_destroy(surface); }
};
struct DestroyContext {
  void operator()(cairo_t* context) const { cairo_destroy(context); }
};
using Surface = std::unique_ptr<cairo_surface_t, DestroySurface>;
using Context = std::unique_ptr<cairo_t, DestroyContext>;

cairo_status_t append_bytes(void* out, const unsigned char* bytes, unsigned int count) {
  static_cast<std::string*>(out)->append(reinterpret_cast<const char*>(bytes), count);
  return CAIRO_STATUS_SUCCESS;
}

std::string extension_of(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return extension;
}

void select_font(cairo_t* context, const TextStyle& style) {
  cairo_select_font_face(context, kFontFamily, CAIRO_FONT_SLANT_NORMAL,
                         style.bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
  cairo_set_font_size(context, style.size);
}

void set_colour(cairo_t* context, Colour colour) {
  cairo_set_source_rgb(context, colour.red, colour.green, colour.blue);
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      default:
        // XML has no way to write control characters.
        out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

// The number of bytes of the UTF-8 character at `at`, or 0 where there is none.
size_t utf8_length(const std::string& text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(at);
  const size_t length = first < 0x80    ? 1
                        : first < 0xC2  ? 0
                        : first < 0xE0  ? 2
                        : first < 0xF0  ? 3
                        : first <= 0xF4 ? 4
                                        : 0;
  if (length == 0 || at + length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0U) != 0x80U) return 0;
  }
  // Overlong forms, surrogates, beyond U+10FFFF.
  if (length == 3 && first == 0xE0 && byte(at + 1) < 0xA0) return 0;
  if (length == 3 && first == 0xED && byte(at + 1) > 0x9F) return 0;
  if (length == 4 && first == 0xF0 && byte(at + 1) < 0x90) return 0;
  if (length == 4 && first == 0xF4 && byte(at + 1) > 0x8F) return 0;
  return length;
}

// Cairo stops drawing for good at a byte that is no UTF-8, and names of files may hold any.
std::string drawable(const std::string& text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t length = utf8_length(text, at);
    out += length == 0 ? std::string("?") : text.substr(at, length);
    at += std::max<size_t>(1, length);
  }
  return out;
}

// Cairo has drawn the words as outlines; this keeps them readable to search and screen readers.
void add_words(std::string& svg, const std::string& title, const std::string& description) {
  const size_t root = svg.find("<svg");
  const size_t end = root == std::string::npos ? root : svg.find('>', root);
  if (end == std::string::npos) return;
  svg.insert(end + 1, "\n<title>" + escaped(drawable(title)) + "</title>\n<desc>" +
                          escaped(drawable(description)) + "</desc>");
}

}  // namespace

struct Canvas::State {
  std::filesystem::path path;
  bool overwrite = false;
  bool svg = false;
  std::string bytes;
  Surface surface;
  Context context;
};

Canvas::Canvas(const std::filesystem::path& path, bool overwrite, double width, double height)
    : state_(std::make_unique<State>()) {
  const std::string extension = extension_of(path);
  if (extension != ".png" && extension != ".svg") {
    throw InputError(path.string(), "a picture name ending in .png or .svg",
                     extension.empty() ? "no extension" : "'" + extension + "'");
  }
  check_output_path(path, overwrite);
  state_->path = path;
  state_->overwrite = overwrite;
  state_->svg = extension == ".svg";
  if (state_->svg) {
    state_->surface.reset(
        cairo_svg_surface_create_for_stream(append_bytes, &state_->bytes, width, height));
  } else {
    state_->surface.reset(cairo_image_surface_create(
        CAIRO_FORMAT_RGB24, static_cast<int>(std::ceil(width * kPixelsPerPoint)),
        static_cast<int>(std::ceil(height * kPixelsPerPoint))));
  }
  state_->context.reset(cairo_create(state_->surface.get()));
  if (!state_->svg) cairo_scale(state_->context.get(), kPixelsPerPoint, kPixelsPerPoint);
  // Layout must not depend on the resolution.
  cairo_font_options_t* const options = cairo_font_options_create();
  cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF);
  cairo_font_options_set_hint_style(options, CAIRO_HINT_STYLE_NONE);
  cairo_font_options_set_antialias(options, CAIRO_ANTIALIAS_GRAY);
  cairo_set_font_options(state_->context.get(), options);
  cairo_font_options_destroy(options);
  fill_rectangle(0, 0, width, height, {1.0, 1.0, 1.0});
}

Canvas::~Canvas() = default;

void Canvas::fill_rectangle(double x, double y, double width, double height, Colour colour) {
  cairo_t* const context = state_->context.get();
  set_colour(context, colour);
  cairo_rectangle(context, x, y, width, height);
  cairo_fill(context);
}

void Canvas::outline_rectangle(
    double x, double y, double width, double height, double line, Colour colour) {
  cairo_t* const context = state_->context.get();
  set_colour(context, colour);
  cairo_set_line_width(context, line);
  cairo_rectangle(context, x, y, width, height);
  cairo_stroke(context);
}

void Canvas::line(double x0, double y0, double x1, double y1, double width, Colour colour) {
  cairo_t* const context = state_->context.get();
  set_colour(context, colour);
  cairo_set_line_width(context, width);
  cairo_move_to(context, x0, y0);
  cairo_line_to(context, x1, y1);
  cairo_stroke(context);
}

void Canvas::gradient_rectangle(
    double x, double y, double width, double height, const std::vector<Colour>& colours) {
  cairo_t* const context = state_->context.get();
  cairo_pattern_t* const pattern = cairo_pattern_create_linear(x, 0, x + width, 0);
  for (size_t i = 0; i < colours.size(); ++i) {
    const double at = static_cast<double>(i) / static_cast<double>(colours.size() - 1);
    cairo_pattern_add_color_stop_rgb(pattern, at, colours[i].red, colours[i].green,
                                     colours[i].blue);
  }
  cairo_set_source(context, pattern);
  cairo_pattern_destroy(pattern);
  cairo_rectangle(context, x, y, width, height);
  cairo_fill(context);
}

void Canvas::text(double x, double y, const std::string& given, const TextStyle& style) {
  if (given.empty()) return;
  const std::string words = drawable(given);
  cairo_t* const context = state_->context.get();
  cairo_save(context);
  cairo_translate(context, x, y);
  cairo_rotate(context, style.angle * std::numbers::pi / 180.0);
  select_font(context, style);
  set_colour(context, style.colour);
  cairo_text_extents_t extents;
  cairo_text_extents(context, words.c_str(), &extents);
  const double share =
      style.align == Align::kLeft ? 0.0 : (style.align == Align::kCentre ? 0.5 : 1.0);
  cairo_move_to(context, -share * extents.x_advance, 0.0);
  cairo_show_text(context, words.c_str());
  cairo_restore(context);
}

void Canvas::save(const std::string& title, const std::string& description) {
  cairo_status_t status = cairo_status(state_->context.get());
  if (state_->svg) {
    cairo_surface_finish(state_->surface.get());
    add_words(state_->bytes, title, description);
  } else if (status == CAIRO_STATUS_SUCCESS) {
    status = cairo_surface_write_to_png_stream(state_->surface.get(), append_bytes, &state_->bytes);
  }
  if (status != CAIRO_STATUS_SUCCESS) {
    throw std::runtime_error(std::string("cannot draw: ") + cairo_status_to_string(status));
  }
  write_file_atomically(state_->path, state_->bytes, state_->overwrite);
}

double text_width(const std::string& given, const TextStyle& style) {
  const std::string words = drawable(given);
  const Surface surface(cairo_image_surface_create(CAIRO_FORMAT_A8, 1, 1));
  const Context context(cairo_create(surface.get()));
  select_font(context.get(), style);
  cairo_text_extents_t extents;
  cairo_text_extents(context.get(), words.c_str(), &extents);
  return extents.x_advance;
}

std::string shortened(const std::string& words, const TextStyle& style, double most) {
  if (text_width(words, style) <= most) return words;
  std::string kept = words;
  while (!kept.empty() && text_width(kept + "…", style) > most) {
    // A whole UTF-8 character: its continuation bytes, then its first byte.
    while (!kept.empty() && (static_cast<unsigned char>(kept.back()) & 0xC0U) == 0x80U) {
      kept.pop_back();
    }
    if (!kept.empty()) kept.pop_back();
  }
  return kept + "…";
}

}  // namespace headscope::outputs
