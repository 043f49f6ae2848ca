// What writing and reading share of the HDF5 library: handles that close themselves, types, and the
// library's own words for a failure. Included by hdf5_writer.cpp and hdf5_reader.cpp alone.
#pragma once

#include <hdf5.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "outputs/hdf5_file.h"

namespace headscope::outputs {

class Hdf5Handle {
 public:
  using Close = herr_t (*)(hid_t);

  Hdf5Handle(hid_t id, Close close) : id_(id), close_(close) {}
  ~Hdf5Handle() { reset(); }
  Hdf5Handle(Hdf5Handle&& other) noexcept : id_(other.id_), close_(other.close_) { other.id_ = -1; }
  Hdf5Handle(const Hdf5Handle&) = delete;
  Hdf5Handle& operator=(const Hdf5Handle&) = delete;
  Hdf5Handle& operator=(Hdf5Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }

  [[nodiscard]] hid_t get() const { return id_; }
  [[nodiscard]] bool ok() const { return id_ >= 0; }
  // Closing a file flushes it, which can fail.
  bool reset() {
    const bool closed = id_ < 0 || close_(id_) >= 0;
    id_ = -1;
    return closed;
  }

 private:
  hid_t id_;
  Close close_;
};

// HDF5 prints its error stack unless told not to; the stack is per thread. And at exit it would
// write once more what a full disk refused, and crash over it: every handle is closed here by its
// owner.
void silence_hdf5();

// The deepest entry of HDF5's error stack, in its own words; of a failed system call the system's.
[[nodiscard]] std::string hdf5_reason();

// "/" for the root.
[[nodiscard]] std::string object_path(const std::string& name);
// "[3, any]", where -1 stands for any length.
[[nodiscard]] std::string dims_text(const Dims& dims);
[[nodiscard]] int64_t product(const Dims& dims);

template <typename T>
hid_t memory_type();
template <>
inline hid_t memory_type<float>() {
  return H5T_NATIVE_FLOAT;
}
template <>
inline hid_t memory_type<double>() {
  return H5T_NATIVE_DOUBLE;
}
template <>
inline hid_t memory_type<int64_t>() {
  return H5T_NATIVE_INT64;
}
template <>
inline hid_t memory_type<uint64_t>() {
  return H5T_NATIVE_UINT64;
}
template <>
inline hid_t memory_type<uint8_t>() {
  return H5T_NATIVE_UINT8;
}

// UTF-8; H5T_VARIABLE or bytes.
[[nodiscard]] Hdf5Handle string_type(size_t size);

// The objects of HDF5 1.10 (2016) carry checksums, so damage to them is found.
[[nodiscard]] Hdf5Handle file_access();

}  // namespace headscope::outputs
