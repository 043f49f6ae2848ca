#include "outputs/interop/duo_pattern.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "outputs/atomic_file.h"
#include "outputs/input_error.h"
#include "outputs/json_fields.h"

namespace headscope::outputs {
namespace fs = std::filesystem;
namespace {

constexpr const char* kTableName = "full_attention_heads.tsv";
constexpr int64_t kMostTokens = int64_t{1} << 32;

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t end = 0; end != std::string::npos; begin = end + 1) {
    end = text.find(separator, begin);
    parts.push_back(text.substr(begin, end - begin));
  }
  return parts;
}

double parse_gate(const std::string& cell, const std::string& place) {
  double value = 0.0;
  const char* const end = cell.data() + cell.size();
  const auto [stop, error] = std::from_chars(cell.data(), end, value);
  if (error != std::errc() || stop != end || !std::isfinite(value)) {
    throw InputError(place, "a finite number", "\"" + cell.substr(0, 40) + "\"");
  }
  return value;
}

void read_table(const fs::path& path, DuoPattern& pattern) {
  std::string text = read_file(path);
  text.erase(std::remove(text.begin(), text.end(), '\r'), text.end());
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (text.empty()) throw InputError(path.string(), "a row of gates per layer", "nothing");
  int64_t outside = 0;
  for (const std::string& line : split(text, '\n')) {
    const std::string place =
        path.string() + ": line " + std::to_string(pattern.gates.num_layers + 1);
    const std::vector<std::string> cells = split(line, '\t');
    const auto width = static_cast<int64_t>(cells.size());
    if (pattern.gates.num_layers == 0) pattern.gates.num_heads = width;
    if (width != pattern.gates.num_heads) {
      throw InputError(place,
                       std::to_string(pattern.gates.num_heads) + " numbers, as in the first line",
                       std::to_string(width));
    }
    for (size_t i = 0; i < cells.size(); ++i) {
      const double gate = parse_gate(cells[i], place + ", column " + std::to_string(i + 1));
      outside += gate < 0.0 || gate > 1.0 ? 1 : 0;
      pattern.gates.values.push_back(std::clamp(gate, 0.0, 1.0));
    }
    ++pattern.gates.num_layers;
  }
  if (outside > 0) {
    pattern.warnings.push_back(std::to_string(outside) +
                               " gates lay outside 0..1 and were clipped");
  }
}

void read_config(const fs::path& path, DuoPattern& pattern) {
  const nlohmann::json parsed = parse_json(read_file(path), path.string());
  const JsonField root(parsed, path.string());
  // A table may lie in a folder with some other project's configuration.
  if (!root.has("sink_size") && !root.has("recent_size")) return;
  pattern.sink_size = root.at("sink_size").integer(0, kMostTokens);
  pattern.recent_size = root.at("recent_size").integer(1, kMostTokens);
  if (root.has("model_name")) pattern.model_name = root.at("model_name").text();
}

}  // namespace

DuoPattern read_duo_pattern(const fs::path& path) {
  std::error_code error;
  const bool is_folder = fs::is_directory(path, error);
  const fs::path table = is_folder ? path / kTableName : path;
  DuoPattern pattern;
  read_table(table, pattern);
  const fs::path config = table.parent_path() / "config.json";
  if (fs::exists(config, error)) read_config(config, pattern);
  return pattern;
}

}  // namespace headscope::outputs
