#include "outputs/file_kind.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <nlohmann/json.hpp>

#include "outputs/atomic_file.h"
#include "outputs/evaluation_file.h"
#include "outputs/hdf5_file.h"
#include "outputs/input_error.h"
#include "outputs/plan_json.h"
#include "outputs/profile_file.h"
#include "outputs/retained_tokens.h"

namespace headscope::outputs {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

FileKind kind_of_format(const std::string& format) {
  if (format == kProfileFormat) return FileKind::kProfile;
  if (format == kPlanFormat) return FileKind::kPlan;
  if (format == kEvaluationFormat) return FileKind::kEvaluation;
  if (format == "headscope.trace") return FileKind::kTrace;
  if (format == kRetainedFormat) return FileKind::kRetained;
  return FileKind::kUnknown;
}

std::string first_bytes(const fs::path& path, size_t count) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw InputError(path.string(), "a readable file", "one that cannot be opened");
  std::string bytes(count, '\0');
  file.read(bytes.data(), static_cast<std::streamsize>(count));
  bytes.resize(static_cast<size_t>(file.gcount()));
  return bytes;
}

// A header length in 8 little-endian bytes, then the header, which is a JSON object.
bool looks_like_safetensors(const std::string& head, uintmax_t file_size) {
  if (head.size() < 9 || head[8] != '{') return false;
  uint64_t length = 0;
  for (size_t i = 0; i < 8; ++i) {
    length |= uint64_t{static_cast<unsigned char>(head[i])} << (8 * i);
  }
  return length >= 2 && length <= file_size - 8;
}

FileDescription describe_hdf5(const fs::path& path) {
  const Hdf5Reader file(path);
  FileDescription description{FileKind::kUnknown, "", "HDF5"};
  if (!file.has_attribute("/", "format")) return description;
  description.kind = kind_of_format(file.string_attribute("/", "format"));
  if (file.has_attribute("/", "format_version")) {
    description.format_version = file.string_attribute("/", "format_version");
  }
  return description;
}

bool is_digits(const std::string& text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool is_layer_dash_head(const std::string& key) {
  const size_t dash = key.find('-');
  return dash != std::string::npos && is_digits(key.substr(0, dash)) &&
         is_digits(key.substr(dash + 1));
}

bool is_list_of(const json& list, bool (*wanted)(const json&)) {
  return list.is_array() && !list.empty() && std::all_of(list.begin(), list.end(), wanted);
}

// Which of the head files of other projects an object is, by its keys and what they hold.
FileKind kind_of_object(const json& object) {
  if (!object.is_object() || object.empty()) return FileKind::kUnknown;
  const auto every = [&](auto wanted) {
    for (const auto& [key, value] : object.items()) {
      if (!wanted(key, value)) return false;
    }
    return true;
  };
  const auto whole = [](const json& item) { return item.is_number_integer(); };
  const auto number = [](const json& item) { return item.is_number(); };
  if (every([&](const std::string& key, const json& value) {
        return is_layer_dash_head(key) && is_list_of(value, number);
      })) {
    return FileKind::kRetrievalScores;
  }
  if (every([&](const std::string& key, const json& value) {
        return is_digits(key) && is_list_of(value, whole);
      })) {
    return FileKind::kHeadOrder;
  }
  const size_t layers = object.front().is_array() ? object.front().size() : 0;
  if (every([&](const std::string&, const json& value) {
        return is_list_of(value, number) && value.size() == layers;
      })) {
    return FileKind::kLayerScore;
  }
  return FileKind::kUnknown;
}

FileDescription describe_json(const std::string& text) {
  FileDescription description{FileKind::kUnknown, "", "JSON"};
  json parsed = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (parsed.is_discarded()) {
    // One object per line, as the script that makes layer scores appends them.
    parsed = json::parse(text.substr(0, text.find('\n')), nullptr, /*allow_exceptions=*/false);
    description.detail = "JSON lines";
    if (kind_of_object(parsed) == FileKind::kLayerScore) description.kind = FileKind::kLayerScore;
    if (parsed.is_discarded()) description.detail = "text";
    return description;
  }
  if (parsed.is_object() && parsed.contains("format") && parsed["format"].is_string()) {
    description.kind = kind_of_format(parsed["format"].get<std::string>());
    if (parsed.contains("format_version") && parsed["format_version"].is_string()) {
      description.format_version = parsed["format_version"].get<std::string>();
    }
    return description;
  }
  description.kind = kind_of_object(parsed);
  return description;
}

// The number of tab-separated numbers in a line; 0 when something else is in it.
size_t count_numbers(const std::string& line) {
  size_t count = 0;
  const char* at = line.data();
  const char* const end = at + line.size();
  while (at < end) {
    double value = 0.0;
    const auto [stop, error] = std::from_chars(at, end, value);
    if (error != std::errc() || (stop != end && *stop != '\t')) return 0;
    ++count;
    at = stop == end ? end : stop + 1;
  }
  return count;
}

bool looks_like_duo_pattern(const std::string& text) {
  size_t columns = 0;
  size_t rows = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const size_t found = count_numbers(text.substr(begin, end - begin));
    if (found == 0 || (rows > 0 && found != columns)) return false;
    columns = found;
    ++rows;
    begin = end + 1;
  }
  return rows > 0;
}

}  // namespace

FileDescription describe_file(const fs::path& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) {
    const bool model = fs::exists(path / "config.json", error);
    return {model ? FileKind::kModel : FileKind::kUnknown, "", "folder"};
  }
  if (!fs::exists(path, error)) throw InputError(path.string(), "a file", "nothing of that name");
  if (has_hdf5_signature(path)) return describe_hdf5(path);
  const std::string head = first_bytes(path, 16);
  if (head.starts_with("GGUF")) return {FileKind::kModel, "", "GGUF"};
  if (head.starts_with("PK\x03\x04")) return {FileKind::kTorchPickle, "", "PyTorch archive"};
  if (looks_like_safetensors(head, fs::file_size(path, error))) {
    return {FileKind::kModel, "", "safetensors"};
  }
  const size_t start = head.find_first_not_of(" \t\r\n");
  if (start != std::string::npos && (head[start] == '{' || head[start] == '[')) {
    return describe_json(read_file(path));
  }
  // Anything binary is none of ours, and may be large.
  if (head.find('\0') != std::string::npos) return {FileKind::kUnknown, "", "binary"};
  if (looks_like_duo_pattern(read_file(path))) return {FileKind::kDuoPattern, "", "TSV"};
  return {FileKind::kUnknown, "", "text"};
}

std::string kind_name(FileKind kind) {
  switch (kind) {
    case FileKind::kModel:
      return "model";
    case FileKind::kProfile:
      return "profile";
    case FileKind::kPlan:
      return "plan";
    case FileKind::kEvaluation:
      return "evaluation";
    case FileKind::kTrace:
      return "trace";
    case FileKind::kRetained:
      return "retained";
    case FileKind::kRetrievalScores:
      return "retrieval_scores";
    case FileKind::kHeadOrder:
      return "head_order";
    case FileKind::kLayerScore:
      return "layer_score";
    case FileKind::kDuoPattern:
      return "duo_pattern";
    case FileKind::kTorchPickle:
      return "torch_pickle";
    case FileKind::kUnknown:
      break;
  }
  return "unknown";
}

}  // namespace headscope::outputs
