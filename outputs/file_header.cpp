#include "outputs/file_header.h"

#include <charconv>

#include "outputs/input_error.h"

namespace headscope::outputs {
namespace {

constexpr int kReadableMajor = 1;
// Far above any decoder, far below what would exhaust memory.
constexpr int64_t kMostLayers = 1 << 14;
constexpr int64_t kMostHeads = 1 << 14;
constexpr int64_t kWidestHead = 1 << 16;

void check_count(const std::string& where, const char* field, int64_t value, int64_t most) {
  if (value < 1 || value > most) {
    throw InputError(where + ": " + field, "1 to " + std::to_string(most), std::to_string(value));
  }
}

}  // namespace

void check_file_header(const std::string& where,
                       const std::string& format,
                       const std::string& version,
                       const std::string& expected_format) {
  if (format != expected_format) {
    throw InputError(where + ": format", "\"" + expected_format + "\"", "\"" + format + "\"");
  }
  int major = -1;
  const char* const end = version.data() + version.size();
  const auto [stop, error] = std::from_chars(version.data(), end, major);
  if (error != std::errc() || major < 1 || (stop != end && *stop != '.')) {
    throw InputError(where + ": format_version", "a version such as \"1.0\"",
                     "\"" + version + "\"");
  }
  if (major > kReadableMajor) {
    throw InputError(where + ": format_version",
                     "version " + std::to_string(kReadableMajor) + ".x of " + format, version,
                     "It was written by a newer headscope; use that, or make the file again.");
  }
}

void check_shape(const ModelShape& shape, const std::string& where) {
  check_count(where, "num_layers", shape.num_layers, kMostLayers);
  check_count(where, "num_query_heads", shape.num_query_heads, kMostHeads);
  check_count(where, "num_kv_heads", shape.num_kv_heads, kMostHeads);
  check_count(where, "head_dim", shape.head_dim, kWidestHead);
  if (shape.num_query_heads % shape.num_kv_heads != 0) {
    throw InputError(where + ": num_kv_heads",
                     "a divisor of num_query_heads " + std::to_string(shape.num_query_heads),
                     std::to_string(shape.num_kv_heads));
  }
  const auto windows = static_cast<int64_t>(shape.attention_window.size());
  if (windows != 0 && windows != shape.num_layers) {
    throw InputError(where + ": attention_window",
                     std::to_string(shape.num_layers) + " entries, one per layer, or none",
                     std::to_string(windows));
  }
}

}  // namespace headscope::outputs
