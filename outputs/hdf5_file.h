// HDF5 as the rest of Headscope sees it: named arrays and attributes, every failure an InputError
// that names the file and the dataset. Only hdf5_*.cpp know the HDF5 library.
//
// Names are paths from the root ("scores/srh/mean"); groups on the way are made as needed. Numbers
// are stored little-endian, strings as UTF-8 of fixed length (Python reads bytes: decode them).
// Arrays are chunked, deflated and carry a checksum, object times are not tracked: equal calls give
// equal bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace headscope::outputs {

using Dims = std::vector<int64_t>;

class Hdf5Writer {
 public:
  // Nothing is seen at `path` before commit(). Throws InputError as AtomicFile does.
  Hdf5Writer(const std::filesystem::path& path, bool overwrite);
  ~Hdf5Writer();
  Hdf5Writer(const Hdf5Writer&) = delete;
  Hdf5Writer& operator=(const Hdf5Writer&) = delete;

  void group(const std::string& name);

  // `object` is "" or "/" for the root, or a group made before.
  void attribute(const std::string& object, const std::string& name, const std::string& value);
  void attribute(const std::string& object, const std::string& name, const char* value);
  void attribute(const std::string& object, const std::string& name, int64_t value);
  void attribute(const std::string& object, const std::string& name, uint64_t value);
  void attribute(const std::string& object, const std::string& name, double value);

  // Row-major. Throws std::invalid_argument when `values` does not fill `dims`.
  void dataset(const std::string& name, std::span<const float> values, const Dims& dims);
  void dataset(const std::string& name, std::span<const double> values, const Dims& dims);
  void dataset(const std::string& name, std::span<const int64_t> values, const Dims& dims);
  void dataset(const std::string& name, std::span<const uint8_t> values, const Dims& dims);
  void dataset(const std::string& name, std::span<const std::string> values);

  // Adds rows to a dataset [rows so far, row_dims…], made at the first call: for what arrives piece
  // by piece (`trace` writes logits and layer_NN/q this way, a prefill chunk at a time).
  void append_rows(const std::string& name, std::span<const float> values, const Dims& row_dims);

  // Closes and renames. Throws InputError when the disk is full.
  void commit();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class Hdf5Reader {
 public:
  // Throws InputError when the file is missing, no HDF5, truncated, or longer than its own size.
  explicit Hdf5Reader(const std::filesystem::path& path);
  ~Hdf5Reader();
  Hdf5Reader(const Hdf5Reader&) = delete;
  Hdf5Reader& operator=(const Hdf5Reader&) = delete;

  [[nodiscard]] const std::string& path() const;
  [[nodiscard]] bool has(const std::string& name) const;
  [[nodiscard]] bool has_attribute(const std::string& object, const std::string& name) const;
  // Names in a group, sorted.
  [[nodiscard]] std::vector<std::string> children(const std::string& group) const;
  [[nodiscard]] std::vector<std::string> attribute_names(const std::string& object) const;

  [[nodiscard]] std::string string_attribute(const std::string& object,
                                             const std::string& name) const;
  [[nodiscard]] int64_t int_attribute(const std::string& object, const std::string& name) const;
  [[nodiscard]] uint64_t uint_attribute(const std::string& object, const std::string& name) const;
  [[nodiscard]] double double_attribute(const std::string& object, const std::string& name) const;

  [[nodiscard]] Dims dims(const std::string& name) const;
  // All values, converted to T: float, double, int64_t, uint8_t or std::string. Throws InputError
  // when the dataset is of another class (text for numbers, real for whole numbers) or its dims are
  // not `expected`, where -1 stands for any length.
  template <typename T>
  [[nodiscard]] std::vector<T> read(const std::string& name, const Dims& expected) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

template <>
std::vector<std::string> Hdf5Reader::read(const std::string& name, const Dims& expected) const;

// True when the file opens with HDF5's signature, whatever its name. False when it cannot be read.
[[nodiscard]] bool has_hdf5_signature(const std::filesystem::path& path);

// "P: D": how messages name a dataset or group of a file.
[[nodiscard]] std::string dataset_place(const std::string& path, const std::string& name);

}  // namespace headscope::outputs
