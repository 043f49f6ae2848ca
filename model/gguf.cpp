#include "model/gguf.h"

#include <bit>
#include <cstring>
#include <limits>
#include <set>
#include <type_traits>
#include <utility>

#include "outputs/input_error.h"

namespace headscope::model {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF is read in place");

constexpr uint64_t kMaxAlignment = 1 << 20;

enum ValueType : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

// Bytes of one value; for strings the least that one takes (its length). 0 = no such type.
uint64_t least_bytes(uint32_t type) {
  switch (type) {
    case kUint8:
    case kInt8:
    case kBool:
      return 1;
    case kUint16:
    case kInt16:
      return 2;
    case kUint32:
    case kInt32:
    case kFloat32:
      return 4;
    case kString:
    case kUint64:
    case kInt64:
    case kFloat64:
      return 8;
    default:
      return 0;
  }
}

// Walks the header; every step is checked against the end of the file.
class Reader {
 public:
  explicit Reader(const MappedFile& file) : bytes_(file.bytes()), path_(file.path()) {}

  template <typename T>
  T number(const std::string& what) {
    require(sizeof(T), what);
    T value{};
    std::memcpy(&value, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }

  std::string_view string(const std::string& what) {
    const auto length = number<uint64_t>("the length of " + what);
    require(length, what);
    const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + position_, length);
    position_ += length;
    return text;
  }

  // A count of things that take at least `least` bytes each: refused before anything is allocated.
  uint64_t count(uint64_t value, uint64_t least, const std::string& what) const {
    const uint64_t most = remaining() / least;
    if (value > most) {
      throw InputError(path_, "at most " + std::to_string(most) + " " + what + " in what is left",
                       std::to_string(value), "The file may be truncated.");
    }
    return value;
  }

  [[nodiscard]] uint64_t position() const { return position_; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  [[nodiscard]] uint64_t remaining() const { return bytes_.size() - position_; }
  void require(uint64_t size, const std::string& what) const {
    if (size <= remaining()) return;
    throw InputError(path_, std::to_string(size) + " bytes for " + what,
                     std::to_string(remaining()) + " before the end of the file",
                     "The file may be truncated.");
  }

  std::span<const std::byte> bytes_;
  std::string path_;
  uint64_t position_ = 0;
};

int64_t to_int64(uint64_t value, const std::string& where) {
  if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    throw InputError(where, "a number of at most 63 bits", std::to_string(value));
  }
  return static_cast<int64_t>(value);
}

int64_t read_int(Reader& reader, uint32_t type, const std::string& what) {
  switch (type) {
    case kUint8:
      return reader.number<uint8_t>(what);
    case kInt8:
      return reader.number<int8_t>(what);
    case kUint16:
      return reader.number<uint16_t>(what);
    case kInt16:
      return reader.number<int16_t>(what);
    case kUint32:
      return reader.number<uint32_t>(what);
    case kInt32:
      return reader.number<int32_t>(what);
    case kUint64:
      return to_int64(reader.number<uint64_t>(what), reader.path() + ", " + what);
    case kBool:
      return reader.number<uint8_t>(what) != 0 ? 1 : 0;
    default:
      return reader.number<int64_t>(what);
  }
}

double read_double(Reader& reader, uint32_t type, const std::string& what) {
  return type == kFloat32 ? static_cast<double>(reader.number<float>(what))
                          : reader.number<double>(what);
}

GgufValue read_array(Reader& reader, const std::string& what) {
  const auto type = reader.number<uint32_t>("the element type of " + what);
  const uint64_t least = least_bytes(type);
  if (least == 0) {
    throw InputError(reader.path() + ", " + what, "an array of numbers or strings",
                     type == kArray ? "an array of arrays" : "value type " + std::to_string(type));
  }
  const auto stated = reader.number<uint64_t>("the length of " + what);
  const uint64_t length = reader.count(stated, least, "elements of " + what);
  if (type == kString) {
    std::vector<std::string_view> values(length);
    for (std::string_view& value : values) value = reader.string(what);
    return values;
  }
  if (type == kFloat32 || type == kFloat64) {
    std::vector<double> values(length);
    for (double& value : values) value = read_double(reader, type, what);
    return values;
  }
  std::vector<int64_t> values(length);
  for (int64_t& value : values) value = read_int(reader, type, what);
  return values;
}

GgufValue read_value(Reader& reader, const std::string& what) {
  const auto type = reader.number<uint32_t>("the type of " + what);
  if (type == kArray) return read_array(reader, what);
  if (least_bytes(type) == 0) {
    throw InputError(reader.path() + ", " + what, "a value type from 0 to 12",
                     std::to_string(type));
  }
  if (type == kString) return reader.string(what);
  if (type == kBool) return reader.number<uint8_t>(what) != 0;
  if (type == kFloat32 || type == kFloat64) return read_double(reader, type, what);
  return read_int(reader, type, what);
}

GgufTensor read_tensor(Reader& reader) {
  GgufTensor tensor;
  tensor.name = reader.string("a tensor's name");
  const std::string what = "tensor \"" + tensor.name + "\"";
  const std::string where = reader.path() + ", " + what;
  const auto rank = reader.number<uint32_t>("the rank of " + what);
  if (rank < 1 || rank > 4) throw InputError(where, "a rank from 1 to 4", std::to_string(rank));
  tensor.dims.resize(rank);
  int64_t product = 1;
  for (uint32_t i = 0; i < rank; ++i) {
    const int64_t dim = to_int64(reader.number<uint64_t>("the dims of " + what), where);
    if (dim < 1) throw InputError(where, "dims of at least 1", std::to_string(dim));
    if (dim > std::numeric_limits<int64_t>::max() / 8 / product) {
      throw InputError(where, "dims whose product fits 60 bits", "a product that overflows");
    }
    product *= dim;
    tensor.dims[rank - 1 - i] = dim;
  }
  tensor.type = reader.number<uint32_t>("the type of " + what);
  tensor.offset = reader.number<uint64_t>("the offset of " + what);
  return tensor;
}

// Magic and version. Returns nothing: the two counts follow.
void check_start(Reader& reader) {
  const auto magic = reader.number<uint32_t>("the magic");
  constexpr uint32_t kMagic = 0x46554747;         // "GGUF"
  constexpr uint32_t kSwappedMagic = 0x47475546;  // "FUGG": written byte-swapped
  if (magic != kMagic && magic != kSwappedMagic) {
    throw InputError(reader.path(), "a GGUF file (it starts with \"GGUF\")", "another start");
  }
  const auto version = reader.number<uint32_t>("the version");
  const bool swapped = magic == kSwappedMagic || (version & 0xffff) == 0;
  if (swapped) {
    throw InputError(reader.path(), "a little-endian GGUF file", "a big-endian one",
                     "Convert it to little endian first.");
  }
  if (version != 2 && version != 3) {
    throw InputError(reader.path(), "GGUF version 2 or 3", "version " + std::to_string(version));
  }
}

const char* type_name(const GgufValue& value) {
  static constexpr const char* kNames[] = {
      "a boolean",          "an integer",           "a floating-point number",
      "a string",           "an array of integers", "an array of floats",
      "an array of strings"};
  return kNames[value.index()];
}

}  // namespace

GgufFile::GgufFile(const std::string& path) : file_(path) {
  Reader reader(file_);
  check_start(reader);
  const auto stated_tensors = reader.number<uint64_t>("the tensor count");
  const auto stated_keys = reader.number<uint64_t>("the key count");
  // A key takes at least a length, a type and one byte; a tensor a length, rank, dim, type, offset.
  const uint64_t num_keys = reader.count(stated_keys, 13, "keys");
  const uint64_t num_tensors = reader.count(stated_tensors, 32, "tensors");
  for (uint64_t i = 0; i < num_keys; ++i) {
    const std::string key(reader.string("a key's name"));
    if (!keys_.emplace(key, read_value(reader, "key \"" + key + "\"")).second) {
      throw InputError(path, "every key once", "\"" + key + "\" twice");
    }
  }
  const int64_t alignment = find_int("general.alignment").value_or(32);
  if (alignment < 1 || static_cast<uint64_t>(alignment) > kMaxAlignment ||
      !std::has_single_bit(static_cast<uint64_t>(alignment))) {
    throw InputError(path + ", key \"general.alignment\"", "a power of two up to 2^20",
                     std::to_string(alignment));
  }
  const auto unit = static_cast<uint64_t>(alignment);
  std::set<std::string_view> names;
  tensors_.reserve(num_tensors);
  for (uint64_t i = 0; i < num_tensors; ++i) {
    tensors_.push_back(read_tensor(reader));
    const GgufTensor& tensor = tensors_.back();
    if (!names.insert(tensor.name).second) {
      throw InputError(path, "every tensor once", "\"" + tensor.name + "\" twice");
    }
    if (tensor.offset % unit != 0) {
      throw InputError(path + ", tensor \"" + tensor.name + "\"",
                       "an offset that is a multiple of " + std::to_string(unit),
                       std::to_string(tensor.offset));
    }
  }
  data_begin_ = (reader.position() + unit - 1) / unit * unit;
}

const GgufTensor* GgufFile::find_tensor(std::string_view name) const {
  for (const GgufTensor& tensor : tensors_) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

template <typename T>
const T* GgufFile::find(std::string_view key, const char* expected) const {
  const auto found = keys_.find(key);
  if (found == keys_.end()) return nullptr;
  const T* value = std::get_if<T>(&found->second);
  if (value == nullptr) {
    throw InputError(file_.path() + ", key \"" + std::string(key) + "\"", expected,
                     type_name(found->second));
  }
  return value;
}

std::optional<bool> GgufFile::find_bool(std::string_view key) const {
  const auto* value = find<bool>(key, "a boolean");
  return value == nullptr ? std::nullopt : std::optional(*value);
}

std::optional<int64_t> GgufFile::find_int(std::string_view key) const {
  const auto* value = find<int64_t>(key, "an integer");
  return value == nullptr ? std::nullopt : std::optional(*value);
}

std::optional<double> GgufFile::find_double(std::string_view key) const {
  const auto found = keys_.find(key);
  if (found != keys_.end() && std::holds_alternative<int64_t>(found->second)) {
    return static_cast<double>(std::get<int64_t>(found->second));
  }
  const auto* value = find<double>(key, "a number");
  return value == nullptr ? std::nullopt : std::optional(*value);
}

std::optional<std::string> GgufFile::find_string(std::string_view key) const {
  const auto* value = find<std::string_view>(key, "a string");
  return value == nullptr ? std::nullopt : std::optional<std::string>(*value);
}

std::optional<std::vector<int64_t>> GgufFile::find_ints(std::string_view key) const {
  const auto* value = find<std::vector<int64_t>>(key, "an array of integers");
  return value == nullptr ? std::nullopt : std::optional(*value);
}

std::optional<std::vector<double>> GgufFile::find_doubles(std::string_view key) const {
  const auto* value = find<std::vector<double>>(key, "an array of floats");
  return value == nullptr ? std::nullopt : std::optional(*value);
}

std::optional<std::vector<std::string>> GgufFile::find_strings(std::string_view key) const {
  const auto* value = find<std::vector<std::string_view>>(key, "an array of strings");
  if (value == nullptr) return std::nullopt;
  return std::vector<std::string>(value->begin(), value->end());
}

}  // namespace headscope::model
