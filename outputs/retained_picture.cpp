#include "outputs/retained_picture.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "outputs/heatmap.h"
#include "outputs/input_error.h"
#include "outputs/picture_style.h"

namespace headscope::outputs {
namespace {

constexpr double kTextWidth = 760.0;
constexpr double kLineHeight = 16.0;
constexpr double kTop = 86.0;
constexpr double kStripWidth = 150.0;
constexpr double kStripRow = 11.0;
const TextStyle kBody{.size = 9.5, .colour = {}};
const TextStyle kSmall{.size = 9.0, .colour = {}};

// A token, or the part of one before or after a line break.
struct Placed {
  std::string text;
  size_t token = 0;
  double x = 0.0;
  double width = 0.0;
  int64_t line = 0;
};

// Where every piece of text goes; lines break at the margin and where the text itself does.
std::vector<Placed> lay_out(const std::vector<std::string>& pieces) {
  std::vector<Placed> placed;
  double x = 0.0;
  int64_t line = 0;
  const auto place = [&](const std::string& text, size_t token) {
    const double width = text_width(text, kBody);
    if (x + width > kTextWidth && x > 0.0) {
      x = 0.0;
      ++line;
    }
    placed.push_back({text, token, x, width, line});
    x += width;
  };
  for (size_t token = 0; token < pieces.size(); ++token) {
    const std::string& piece = pieces[token];
    size_t begin = 0;
    for (size_t end = piece.find('\n'); end != std::string::npos; end = piece.find('\n', begin)) {
      place(piece.substr(begin, end - begin) + "\u00b6", token);
      x = 0.0;
      ++line;
      begin = end + 1;
    }
    if (begin < piece.size() || piece.empty()) place(piece.substr(begin), token);
  }
  return placed;
}

// Never kept is white; the most often kept tokens are as dark as black text can stand on.
Colour ground(double share) {
  const double depth = std::pow(std::clamp(share, 0.0, 1.0), 0.6);
  return {1.0 - 0.75 * depth, 1.0 - 0.38 * depth, 1.0 - 0.12 * depth};
}

void draw_legend(Canvas& canvas) {
  std::vector<Colour> colours;
  for (int i = 0; i <= 20; ++i) colours.push_back(ground(i / 20.0));
  const double x = kMargin + 190.0;
  canvas.text(kMargin, 68.0, "share of all KV heads that kept it:  0", kSmall);
  canvas.gradient_rectangle(x, 59.0, 160.0, 11.0, colours);
  canvas.outline_rectangle(x, 59.0, 160.0, 11.0, 0.5, {0.6, 0.6, 0.6});
  canvas.text(x + 166.0, 68.0, "1", kSmall);
}

void draw_text(Canvas& canvas, const RetainedTokens& retained, const std::vector<Placed>& placed) {
  const std::vector<double> share = kept_share(retained);
  for (const Placed& piece : placed) {
    const double y = kTop + kLineHeight * static_cast<double>(piece.line);
    canvas.fill_rectangle(kMargin + piece.x, y, piece.width, kLineHeight - 2.0,
                          ground(share[piece.token]));
    if (std::binary_search(retained.answer_positions.begin(), retained.answer_positions.end(),
                           static_cast<int64_t>(piece.token))) {
      canvas.outline_rectangle(kMargin + piece.x, y, piece.width, kLineHeight - 2.0, 1.2,
                               {0.80, 0.15, 0.10});
    }
    canvas.text(kMargin + piece.x, y + kLineHeight - 5.5, piece.text, kBody);
  }
}

// Per layer a bar as long as the share of the answer that its KV heads kept.
void draw_recall(Canvas& canvas, const std::vector<double>& recall, double x) {
  canvas.text(x, kTop - 8.0, "answer kept, by layer", kSmall);
  constexpr double kBar = 70.0;
  for (size_t layer = 0; layer < recall.size(); ++layer) {
    const double y = kTop + kStripRow * static_cast<double>(layer);
    char percent[16];
    std::snprintf(percent, sizeof percent, "%.0f %%", 100.0 * recall[layer]);
    canvas.text(x + 18.0, y + kStripRow - 2.5, std::to_string(layer),
                {.size = 8.0, .align = Align::kRight, .colour = {}});
    canvas.fill_rectangle(x + 24.0, y + 1.0, kBar, kStripRow - 2.5, {0.93, 0.93, 0.93});
    canvas.fill_rectangle(x + 24.0, y + 1.0, kBar * recall[layer], kStripRow - 2.5,
                          {0.80, 0.15, 0.10});
    canvas.text(x + 30.0 + kBar, y + kStripRow - 2.5, percent, {.size = 8.0, .colour = {}});
  }
}

std::string subtitle(const RetainedTokens& retained) {
  size_t kept = 0;
  size_t heads = 0;
  for (const auto& layer : retained.kept) {
    heads += layer.size();
    for (const auto& head : layer) kept += head.size();
  }
  const double all = static_cast<double>(heads) * static_cast<double>(retained.num_tokens());
  char text[120];
  std::snprintf(text, sizeof text, "%lld prompt tokens, %.1f %% kept over %zu KV heads",
                static_cast<long long>(retained.num_tokens()),
                all > 0 ? 100.0 * static_cast<double>(kept) / all : 0.0, heads);
  return text;
}

}  // namespace

void write_retained_picture(const RetainedTokens& retained,
                            const std::filesystem::path& path,
                            bool overwrite) {
  if (retained.pieces.size() != retained.prompt_ids.size() || retained.pieces.empty()) {
    throw InputError("retained tokens", "the text of every token", "none",
                     "Make the file from --prompt or --prompt-file, not from --tokens.");
  }
  const std::vector<Placed> placed = lay_out(retained.pieces);
  const bool has_answer = !retained.answer_positions.empty();
  const double text_height = kLineHeight * static_cast<double>(placed.back().line + 1);
  const double strip_height =
      has_answer ? kStripRow * static_cast<double>(retained.kept.size()) : 0.0;
  const double width = 2 * kMargin + kTextWidth + (has_answer ? kMargin + kStripWidth : 0.0);
  const double height = kTop + std::max(text_height, strip_height) + kMargin;
  Canvas canvas(path, overwrite, width, height);
  canvas.fill_rectangle(0.0, 0.0, width, height, {1.0, 1.0, 1.0});
  const std::string title =
      "What was kept: " + retained.model + (retained.method.empty() ? "" : " · " + retained.method);
  canvas.text(kMargin, 28.0, title, {.size = 14.0, .bold = true, .colour = {}});
  canvas.text(kMargin, 46.0, subtitle(retained), {.size = 10.0, .colour = {0.3, 0.3, 0.3}});
  draw_legend(canvas);
  if (has_answer) {
    canvas.outline_rectangle(kMargin + 390.0, 59.0, 24.0, 11.0, 1.2, {0.80, 0.15, 0.10});
    canvas.text(kMargin + 420.0, 68.0, "tokens of the answer", kSmall);
    draw_recall(canvas, answer_recall(retained), 2 * kMargin + kTextWidth);
  }
  draw_text(canvas, retained, placed);
  canvas.save(title, "Each token of the prompt on a ground as dark as it was often kept.");
}

}  // namespace headscope::outputs
