// GGUF files, versions 2 and 3, little endian: typed keys, then tensor infos, then the tensors'
// bytes. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Every count, length and
// offset is checked against the file before it is used.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "model/mapped_file.h"

namespace headscope::model {

// Integers of every width and sign become int64_t (a uint64 above its range is refused), both float
// widths become double. Strings view the mapped file.
using GgufValue = std::variant<bool,
                               int64_t,
                               double,
                               std::string_view,
                               std::vector<int64_t>,
                               std::vector<double>,
                               std::vector<std::string_view>>;

struct GgufTensor {
  std::string name;
  std::vector<int64_t> dims;  // outermost first (the file stores them the other way round)
  uint32_t type = 0;          // block type number; dequantise.h knows which can be read
  uint64_t offset = 0;        // bytes, from the start of the tensor data
};

class GgufFile {
 public:
  // InputError for: another magic, a big-endian file, an unsupported version, counts or lengths
  // that pass the end of the file, nested arrays, unknown value types, a key or tensor given twice,
  // a rank outside 1..4, dims below 1 or whose product overflows, an alignment that is no power of
  // two, an offset that is not aligned. Whether the tensors' bytes are there is checked by
  // open_gguf_weights: reading keys needs no weights.
  explicit GgufFile(const std::string& path);

  [[nodiscard]] const MappedFile& file() const { return file_; }
  [[nodiscard]] const std::map<std::string, GgufValue, std::less<>>& keys() const { return keys_; }
  [[nodiscard]] const std::vector<GgufTensor>& tensors() const { return tensors_; }
  [[nodiscard]] const GgufTensor* find_tensor(std::string_view name) const;
  [[nodiscard]] uint64_t data_begin() const { return data_begin_; }

  // A key's value, nullopt where the key is absent; InputError (naming key, expected and found
  // type) where it is of another type. Numbers: an integer also serves where a double is asked for.
  [[nodiscard]] std::optional<bool> find_bool(std::string_view key) const;
  [[nodiscard]] std::optional<int64_t> find_int(std::string_view key) const;
  [[nodiscard]] std::optional<double> find_double(std::string_view key) const;
  [[nodiscard]] std::optional<std::string> find_string(std::string_view key) const;
  [[nodiscard]] std::optional<std::vector<int64_t>> find_ints(std::string_view key) const;
  [[nodiscard]] std::optional<std::vector<double>> find_doubles(std::string_view key) const;
  [[nodiscard]] std::optional<std::vector<std::string>> find_strings(std::string_view key) const;

 private:
  template <typename T>
  [[nodiscard]] const T* find(std::string_view key, const char* expected) const;

  MappedFile file_;
  std::map<std::string, GgufValue, std::less<>> keys_;
  std::vector<GgufTensor> tensors_;
  uint64_t data_begin_ = 0;
};

}  // namespace headscope::model
