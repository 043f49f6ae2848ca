#include "model/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "outputs/input_error.h"

namespace headscope::model {
namespace {

using nlohmann::json;

static_assert(std::endian::native == std::endian::little, "checkpoints are read in place");

constexpr uint64_t kMaxHeaderBytes = 100'000'000;
constexpr size_t kLengthBytes = 8;

struct DtypeSize {
  std::string_view name;
  uint64_t bytes;
};
constexpr std::array<DtypeSize, 16> kDtypes = {{{"F64", 8},
                                                {"F32", 4},
                                                {"F16", 2},
                                                {"BF16", 2},
                                                {"I64", 8},
                                                {"I32", 4},
                                                {"I16", 2},
                                                {"I8", 1},
                                                {"U64", 8},
                                                {"U32", 4},
                                                {"U16", 2},
                                                {"U8", 1},
                                                {"BOOL", 1},
                                                {"F8_E5M2", 1},
                                                {"F8_E4M3", 1},
                                                {"F8_E8M0", 1}}};

std::optional<uint64_t> dtype_bytes(std::string_view name) {
  for (const DtypeSize& dtype : kDtypes) {
    if (dtype.name == name) return dtype.bytes;
  }
  return std::nullopt;
}

// Parses the header, refusing what nlohmann::json would take silently: a name given twice, and
// nesting deeper than a header can have.
json parse_header(std::string_view text, const std::string& where) {
  std::array<std::set<std::string>, 3> seen;
  const auto check = [&](int depth, json::parse_event_t event, json& value) {
    if (depth > 3) throw InputError(where, "a header of tensor entries", "deeper nesting");
    const auto level = static_cast<size_t>(depth);
    if (event == json::parse_event_t::object_start && level < 2) seen[level + 1].clear();
    if (event == json::parse_event_t::key && level < 3 &&
        !seen[level].insert(value.get<std::string>()).second) {
      throw InputError(where, "every name once", "\"" + value.get<std::string>() + "\" twice");
    }
    return true;
  };
  try {
    return json::parse(text.begin(), text.end(), check);
  } catch (const json::exception& error) {
    throw InputError(where, "a JSON header", std::string("invalid JSON (") + error.what() + ")");
  }
}

std::vector<uint64_t> read_numbers(const json& entry, const char* field, const std::string& where) {
  const auto found = entry.find(field);
  const std::string expected = std::string("\"") + field + "\" as a list of whole numbers";
  if (found == entry.end()) throw InputError(where, expected, "no such field");
  if (!found->is_array()) throw InputError(where, expected, found->type_name());
  std::vector<uint64_t> numbers;
  for (const json& item : *found) {
    if (!item.is_number_unsigned()) throw InputError(where, expected, item.dump());
    numbers.push_back(item.get<uint64_t>());
  }
  return numbers;
}

uint64_t checked_size(const std::vector<uint64_t>& dims, uint64_t unit, const std::string& where) {
  // A zero among the dims makes the size zero however large the others are.
  if (std::find(dims.begin(), dims.end(), 0U) != dims.end()) return 0;
  uint64_t size = unit;
  for (const uint64_t dim : dims) {
    if (dim > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) / size) {
      throw InputError(where, "dims whose product fits 63 bits", "a product that overflows");
    }
    size *= dim;
  }
  return size;
}

SafetensorsEntry read_entry(const std::string& name,
                            const json& entry,
                            uint64_t data_begin,
                            uint64_t file_size,
                            const std::string& path) {
  const std::string where = path + ", tensor \"" + name + "\"";
  if (!entry.is_object()) throw InputError(where, "dtype, shape, data_offsets", entry.type_name());
  const auto dtype = entry.find("dtype");
  if (dtype == entry.end() || !dtype->is_string()) {
    throw InputError(where, "\"dtype\" as a string", "none");
  }
  SafetensorsEntry result;
  result.name = name;
  result.dtype = dtype->get<std::string>();
  const std::optional<uint64_t> unit = dtype_bytes(result.dtype);
  if (!unit) throw InputError(where, "a dtype among F32, F16, BF16", result.dtype);
  const std::vector<uint64_t> dims = read_numbers(entry, "shape", where);
  if (dims.size() > 8) throw InputError(where, "at most 8 dims", std::to_string(dims.size()));
  const uint64_t size = checked_size(dims, *unit, where);
  for (const uint64_t dim : dims) {
    if (dim > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      throw InputError(where, "dims that fit 63 bits", std::to_string(dim));
    }
    result.dims.push_back(static_cast<int64_t>(dim));
  }
  const std::vector<uint64_t> offsets = read_numbers(entry, "data_offsets", where);
  const uint64_t data_size = file_size - data_begin;
  if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > data_size) {
    throw InputError(where,
                     "data_offsets [begin, end] within " + std::to_string(data_size) + " bytes",
                     entry.at("data_offsets").dump(), "The file may be truncated.");
  }
  if (offsets[1] - offsets[0] != size) {
    throw InputError(where, std::to_string(size) + " bytes, as dtype and shape say",
                     std::to_string(offsets[1] - offsets[0]));
  }
  result.begin = data_begin + offsets[0];
  result.end = data_begin + offsets[1];
  return result;
}

// The ranges must tile the data: anything else is a lie or hides bytes.
void check_tiling(const std::vector<SafetensorsEntry>& entries,
                  uint64_t data_begin,
                  uint64_t file_size,
                  const std::string& path) {
  uint64_t position = data_begin;
  for (const SafetensorsEntry& entry : entries) {
    if (entry.begin != position) {
      throw InputError(
          path + ", tensor \"" + entry.name + "\"",
          "data to begin at byte " + std::to_string(position - data_begin),
          std::to_string(entry.begin - data_begin) +
              (entry.begin < position ? " (overlaps the tensor before)" : " (a hole)"));
    }
    position = entry.end;
  }
  if (position != file_size) {
    throw InputError(path,
                     "the file to end with its last tensor, at byte " + std::to_string(position),
                     std::to_string(file_size) + " bytes");
  }
}

}  // namespace

std::vector<SafetensorsEntry> read_safetensors_header(const MappedFile& file) {
  const std::span<const std::byte> bytes = file.bytes();
  const std::string& path = file.path();
  if (bytes.size() < kLengthBytes) {
    throw InputError(path, "a safetensors file", std::to_string(bytes.size()) + " bytes");
  }
  uint64_t header_size = 0;
  std::memcpy(&header_size, bytes.data(), kLengthBytes);
  if (header_size > kMaxHeaderBytes) {
    throw InputError(path, "a safetensors header of at most 100 MB",
                     std::to_string(header_size) + " bytes");
  }
  if (header_size > bytes.size() - kLengthBytes) {
    throw InputError(path, "a header of " + std::to_string(header_size) + " bytes",
                     "a file of " + std::to_string(bytes.size()) + " bytes",
                     "It may be truncated.");
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes,
                              header_size);
  const json header = parse_header(text, path);
  if (!header.is_object()) throw InputError(path, "a JSON object as header", header.type_name());
  const uint64_t data_begin = kLengthBytes + header_size;
  std::vector<SafetensorsEntry> entries;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    entries.push_back(read_entry(name, entry, data_begin, bytes.size(), path));
  }
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  check_tiling(entries, data_begin, bytes.size(), path);
  return entries;
}

}  // namespace headscope::model
