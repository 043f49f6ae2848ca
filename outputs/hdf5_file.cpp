#include "outputs/hdf5_file.h"

#include <hdf5.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "outputs/atomic_file.h"
#include "outputs/input_error.h"

namespace headscope::outputs {
namespace {

// About a megabyte of float32: large enough to compress well, small enough to read in part.
constexpr int64_t kChunkElements = int64_t{1} << 18;
constexpr unsigned kDeflateLevel = 4;

using Close = herr_t (*)(hid_t);

class Handle {
 public:
  Handle(hid_t id, Close close) : id_(id), close_(close) {}
  ~Handle() { reset(); }
  Handle(Handle&& other) noexcept : id_(other.id_), close_(other.close_) { other.id_ = -1; }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  Handle& operator=(Handle&& other) noexcept {
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

// HDF5 prints its error stack unless told not to; the stack is per thread. And at exit it would write
// once more what a full disk refused, and crash over it: every handle is closed here by its owner.
void silence() {
  static const bool no_exit_handler = H5dont_atexit() >= 0;
  static_cast<void>(no_exit_handler);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

// The deepest entry of HDF5's error stack, in its own words; of a failed system call the system's.
std::string hdf5_reason() {
  std::string text;
  const auto keep_first = [](unsigned, const H5E_error2_t* entry, void* out) -> herr_t {
    auto& kept = *static_cast<std::string*>(out);
    if (kept.empty() && entry->desc != nullptr) kept = entry->desc;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_first, &text);
  static constexpr std::string_view kMessage = "error message = '";
  const size_t begin = text.find(kMessage);
  if (begin != std::string::npos) {
    const size_t first = begin + kMessage.size();
    return text.substr(first, text.find('\'', first) - first);
  }
  return text.empty() ? "an HDF5 failure" : text;
}

[[noreturn]] void fail_to_write(const std::string& place) {
  throw InputError(place, "room and leave to write", hdf5_reason(),
                   "Check the free space of that disk.");
}

void expect_written(bool ok, const std::string& place) {
  if (!ok) fail_to_write(place);
}

[[noreturn]] void fail_to_read(const std::string& place) {
  throw InputError(place, "readable data", hdf5_reason(),
                   "The file is damaged or incomplete; make it again.");
}

void expect_read(bool ok, const std::string& place) {
  if (!ok) fail_to_read(place);
}

std::string object_path(const std::string& name) {
  return name.empty() ? "/" : name;
}

std::string dims_text(const Dims& dims) {
  std::string text = "[";
  for (size_t i = 0; i < dims.size(); ++i) {
    text += (i == 0 ? "" : ", ") + (dims[i] < 0 ? std::string("any") : std::to_string(dims[i]));
  }
  return text + "]";
}

int64_t product(const Dims& dims) {
  int64_t count = 1;
  for (const int64_t dim : dims) count *= dim;
  return count;
}

std::vector<hsize_t> to_hsize(const Dims& dims) {
  return {dims.begin(), dims.end()};
}

template <typename T>
hid_t memory_type();
template <>
hid_t memory_type<float>() {
  return H5T_NATIVE_FLOAT;
}
template <>
hid_t memory_type<double>() {
  return H5T_NATIVE_DOUBLE;
}
template <>
hid_t memory_type<int64_t>() {
  return H5T_NATIVE_INT64;
}
template <>
hid_t memory_type<uint64_t>() {
  return H5T_NATIVE_UINT64;
}
template <>
hid_t memory_type<uint8_t>() {
  return H5T_NATIVE_UINT8;
}

template <typename T>
hid_t file_type();
template <>
hid_t file_type<float>() {
  return H5T_IEEE_F32LE;
}
template <>
hid_t file_type<double>() {
  return H5T_IEEE_F64LE;
}
template <>
hid_t file_type<int64_t>() {
  return H5T_STD_I64LE;
}
template <>
hid_t file_type<uint64_t>() {
  return H5T_STD_U64LE;
}
template <>
hid_t file_type<uint8_t>() {
  return H5T_STD_U8LE;
}

Handle string_type(size_t size) {
  Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type.get(), size);
  H5Tset_cset(type.get(), H5T_CSET_UTF8);
  H5Tset_strpad(type.get(), size == H5T_VARIABLE ? H5T_STR_NULLTERM : H5T_STR_NULLPAD);
  return type;
}

// Chunks of whole rows, no dimension longer than the data (or, where rows are still to come, than a
// chunk's worth of them).
Dims chunk_of(const Dims& dims, bool growing) {
  Dims chunk = dims;
  int64_t row = 1;
  for (size_t i = 1; i < dims.size(); ++i) row *= dims[i];
  const int64_t rows = std::max<int64_t>(1, kChunkElements / std::max<int64_t>(1, row));
  chunk[0] = growing ? rows : std::min(rows, dims[0]);
  for (size_t i = 1; i < chunk.size() && product(chunk) > 4 * kChunkElements; ++i) {
    chunk[i] = std::max<int64_t>(1, chunk[i] * kChunkElements / product(chunk));
  }
  return chunk;
}

Handle dataset_properties(const Dims& dims, bool growing) {
  Handle properties(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_obj_track_times(properties.get(), false);
  H5Pset_fill_time(properties.get(), H5D_FILL_TIME_NEVER);
  if (!dims.empty() && (growing || product(dims) > 0)) {
    const std::vector<hsize_t> chunk = to_hsize(chunk_of(dims, growing));
    H5Pset_chunk(properties.get(), static_cast<int>(chunk.size()), chunk.data());
    H5Pset_shuffle(properties.get());
    H5Pset_deflate(properties.get(), kDeflateLevel);
    H5Pset_fletcher32(properties.get());
  }
  return properties;
}

// The objects of HDF5 1.10 (2016) carry checksums, so damage to them is found.
Handle file_access() {
  Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_libver_bounds(access.get(), H5F_LIBVER_V110, H5F_LIBVER_V110);
  H5Pset_fclose_degree(access.get(), H5F_CLOSE_STRONG);
  return access;
}

}  // namespace

std::string dataset_place(const std::string& path, const std::string& name) {
  return path + ": " + name;
}

bool has_hdf5_signature(const std::filesystem::path& path) {
  char bytes[8] = {};
  std::ifstream file(path, std::ios::binary);
  file.read(bytes, sizeof(bytes));
  return file.gcount() == sizeof(bytes) && std::string_view(bytes, 8) == "\x89HDF\r\n\x1a\n";
}

struct Hdf5Writer::State {
  State(const std::filesystem::path& path, bool overwrite)
      : atomic(path, overwrite), file(-1, H5Fclose) {}
  AtomicFile atomic;  // outlives the handle below, which is closed first
  Handle file;

  [[nodiscard]] std::string place(const std::string& name) const {
    return dataset_place(atomic.path().string(), name);
  }

  [[nodiscard]] bool exists(const std::string& name) const {
    return H5Lexists(file.get(), name.c_str(), H5P_DEFAULT) > 0;
  }

  // Groups are made one by one: only so can each be told not to keep times.
  void make_groups(const std::string& name) {
    for (size_t end = name.find('/'); end != std::string::npos; end = name.find('/', end + 1)) {
      make_group(name.substr(0, end));
    }
  }

  void make_group(const std::string& name) {
    if (name.empty() || exists(name)) return;
    const Handle properties(H5Pcreate(H5P_GROUP_CREATE), H5Pclose);
    H5Pset_obj_track_times(properties.get(), false);
    const Handle group(
        H5Gcreate2(file.get(), name.c_str(), H5P_DEFAULT, properties.get(), H5P_DEFAULT), H5Gclose);
    expect_written(group.ok(), place(name));
  }

  void attribute(const std::string& object,
                 const std::string& name,
                 hid_t stored,
                 hid_t in_memory,
                 const void* value) {
    const std::string where = place(object_path(object) + " attribute " + name);
    const Handle owner(H5Oopen(file.get(), object_path(object).c_str(), H5P_DEFAULT), H5Oclose);
    expect_written(owner.ok(), where);
    const Handle space(H5Screate(H5S_SCALAR), H5Sclose);
    const Handle attribute(
        H5Acreate2(owner.get(), name.c_str(), stored, space.get(), H5P_DEFAULT, H5P_DEFAULT),
        H5Aclose);
    expect_written(attribute.ok() && H5Awrite(attribute.get(), in_memory, value) >= 0, where);
  }

  void dataset(const std::string& name,
               hid_t stored,
               hid_t in_memory,
               const void* values,
               const Dims& dims) {
    make_groups(name);
    const std::vector<hsize_t> sizes = to_hsize(dims);
    const Handle space(H5Screate_simple(static_cast<int>(sizes.size()), sizes.data(), nullptr),
                       H5Sclose);
    const Handle properties = dataset_properties(dims, /*growing=*/false);
    Handle data(H5Dcreate2(file.get(), name.c_str(), stored, space.get(), H5P_DEFAULT,
                           properties.get(), H5P_DEFAULT),
                H5Dclose);
    expect_written(data.ok(), place(name));
    if (product(dims) > 0) {
      expect_written(H5Dwrite(data.get(), in_memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0,
                     place(name));
    }
    expect_written(data.reset(), place(name));
  }

  template <typename T>
  void numbers(const std::string& name, std::span<const T> values, const Dims& dims) {
    if (dims.empty() || static_cast<int64_t>(values.size()) != product(dims)) {
      throw std::invalid_argument("Hdf5Writer::dataset " + name + ": " + dims_text(dims) + " for " +
                                  std::to_string(values.size()) + " values");
    }
    dataset(name, file_type<T>(), memory_type<T>(), values.data(), dims);
  }

  Handle open_growing(const std::string& name, const Dims& row_dims) {
    if (exists(name)) return {H5Dopen2(file.get(), name.c_str(), H5P_DEFAULT), H5Dclose};
    make_groups(name);
    Dims dims = row_dims;
    dims.insert(dims.begin(), 0);
    const std::vector<hsize_t> start = to_hsize(dims);
    std::vector<hsize_t> most = start;
    most[0] = H5S_UNLIMITED;
    const Handle space(H5Screate_simple(static_cast<int>(start.size()), start.data(), most.data()),
                       H5Sclose);
    const Handle properties = dataset_properties(dims, /*growing=*/true);
    return {H5Dcreate2(file.get(), name.c_str(), H5T_IEEE_F32LE, space.get(), H5P_DEFAULT,
                       properties.get(), H5P_DEFAULT),
            H5Dclose};
  }
};

Hdf5Writer::Hdf5Writer(const std::filesystem::path& path, bool overwrite)
    : state_(std::make_unique<State>(path, overwrite)) {
  silence();
  const Handle access = file_access();
  const Handle creation(H5Pcreate(H5P_FILE_CREATE), H5Pclose);
  H5Pset_obj_track_times(creation.get(), false);
  const hid_t id = H5Fcreate(state_->atomic.temporary_path().c_str(), H5F_ACC_TRUNC, creation.get(),
                             access.get());
  expect_written(id >= 0, path.string());
  state_->file = Handle(id, H5Fclose);
}

// A writer that is not committed leaves no file: whether closing succeeds no longer matters.
Hdf5Writer::~Hdf5Writer() = default;

void Hdf5Writer::group(const std::string& name) {
  state_->make_groups(name);
  state_->make_group(name);
}

void Hdf5Writer::attribute(const std::string& object,
                           const std::string& name,
                           const std::string& value) {
  // Fixed length: texts of variable length lie in a heap without checksum, and a damaged heap
  // crashes the HDF5 library.
  const Handle type = string_type(std::max<size_t>(1, value.size()));
  state_->attribute(object, name, type.get(), type.get(), value.c_str());
}

void Hdf5Writer::attribute(const std::string& object, const std::string& name, const char* value) {
  attribute(object, name, std::string(value));
}

void Hdf5Writer::attribute(const std::string& object, const std::string& name, int64_t value) {
  state_->attribute(object, name, file_type<int64_t>(), memory_type<int64_t>(), &value);
}

void Hdf5Writer::attribute(const std::string& object, const std::string& name, uint64_t value) {
  state_->attribute(object, name, file_type<uint64_t>(), memory_type<uint64_t>(), &value);
}

void Hdf5Writer::attribute(const std::string& object, const std::string& name, double value) {
  state_->attribute(object, name, file_type<double>(), memory_type<double>(), &value);
}

void Hdf5Writer::dataset(const std::string& name, std::span<const float> values, const Dims& dims) {
  state_->numbers(name, values, dims);
}

void Hdf5Writer::dataset(const std::string& name,
                         std::span<const double> values,
                         const Dims& dims) {
  state_->numbers(name, values, dims);
}

void Hdf5Writer::dataset(const std::string& name,
                         std::span<const int64_t> values,
                         const Dims& dims) {
  state_->numbers(name, values, dims);
}

void Hdf5Writer::dataset(const std::string& name,
                         std::span<const uint8_t> values,
                         const Dims& dims) {
  state_->numbers(name, values, dims);
}

void Hdf5Writer::dataset(const std::string& name, std::span<const std::string> values) {
  // Fixed length, for the same reason as in attributes.
  size_t longest = 1;
  for (const std::string& value : values) longest = std::max(longest, value.size());
  std::string packed(longest * values.size(), '\0');
  for (size_t i = 0; i < values.size(); ++i) {
    std::copy(values[i].begin(), values[i].end(),
              packed.begin() + static_cast<std::ptrdiff_t>(i * longest));
  }
  const Handle type = string_type(longest);
  state_->dataset(name, type.get(), type.get(), packed.data(),
                  {static_cast<int64_t>(values.size())});
}

void Hdf5Writer::append_rows(const std::string& name,
                             std::span<const float> values,
                             const Dims& row_dims) {
  const int64_t row = product(row_dims);
  const auto count = static_cast<int64_t>(values.size());
  if (row <= 0 || count % row != 0) {
    throw std::invalid_argument("Hdf5Writer::append_rows " + name + ": " + std::to_string(count) +
                                " values for rows of " + dims_text(row_dims));
  }
  const std::string where = state_->place(name);
  Handle data = state_->open_growing(name, row_dims);
  expect_written(data.ok(), where);
  std::vector<hsize_t> sizes(row_dims.size() + 1);
  {
    const Handle space(H5Dget_space(data.get()), H5Sclose);
    if (H5Sget_simple_extent_ndims(space.get()) != static_cast<int>(sizes.size())) {
      throw std::invalid_argument("Hdf5Writer::append_rows " + name + ": other rows than before");
    }
    H5Sget_simple_extent_dims(space.get(), sizes.data(), nullptr);
  }
  if (!std::equal(row_dims.begin(), row_dims.end(), sizes.begin() + 1,
                  [](int64_t a, hsize_t b) { return static_cast<hsize_t>(a) == b; })) {
    throw std::invalid_argument("Hdf5Writer::append_rows " + name + ": other rows than before");
  }
  std::vector<hsize_t> start(sizes.size(), 0);
  start[0] = sizes[0];
  std::vector<hsize_t> added = sizes;
  added[0] = static_cast<hsize_t>(count / row);
  sizes[0] += added[0];
  expect_written(H5Dset_extent(data.get(), sizes.data()) >= 0, where);
  const Handle space(H5Dget_space(data.get()), H5Sclose);
  H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, start.data(), nullptr, added.data(), nullptr);
  const Handle memory(H5Screate_simple(static_cast<int>(added.size()), added.data(), nullptr),
                      H5Sclose);
  expect_written(H5Dwrite(data.get(), H5T_NATIVE_FLOAT, memory.get(), space.get(), H5P_DEFAULT,
                          values.data()) >= 0,
                 where);
  expect_written(data.reset(), where);
}

void Hdf5Writer::commit() {
  expect_written(state_->file.reset(), state_->atomic.path().string());
  state_->atomic.commit();
}

struct Hdf5Reader::State {
  std::string path;
  int64_t file_size = 0;
  Handle file{-1, H5Fclose};

  [[nodiscard]] std::string place(const std::string& name) const {
    return dataset_place(path, name);
  }

  [[nodiscard]] bool has(const std::string& name) const {
    // H5Lexists wants every group on the way to be there.
    for (size_t end = name.find('/'); end != std::string::npos; end = name.find('/', end + 1)) {
      if (end > 0 && H5Lexists(file.get(), name.substr(0, end).c_str(), H5P_DEFAULT) <= 0) {
        return false;
      }
    }
    return name.empty() || name == "/" || H5Lexists(file.get(), name.c_str(), H5P_DEFAULT) > 0;
  }

  [[nodiscard]] Handle open_object(const std::string& name) const {
    if (!has(name)) throw InputError(place(object_path(name)), "this group or dataset", "nothing");
    Handle object(H5Oopen(file.get(), object_path(name).c_str(), H5P_DEFAULT), H5Oclose);
    expect_read(object.ok(), place(object_path(name)));
    return object;
  }

  [[nodiscard]] Handle open_dataset(const std::string& name) const {
    const Handle object = open_object(name);
    if (H5Iget_type(object.get()) != H5I_DATASET) {
      throw InputError(place(name), "a dataset", "a group");
    }
    Handle data(H5Dopen2(file.get(), name.c_str(), H5P_DEFAULT), H5Dclose);
    expect_read(data.ok(), place(name));
    return data;
  }

  // One scalar attribute whose type is of `type_class`.
  [[nodiscard]] Handle open_attribute(const std::string& object,
                                      const std::string& name,
                                      H5T_class_t type_class,
                                      const char* expected) const {
    const std::string where = place(object_path(object) + " attribute " + name);
    const Handle owner = open_object(object);
    if (H5Aexists(owner.get(), name.c_str()) <= 0) {
      throw InputError(where, expected, "no such attribute");
    }
    Handle attribute(H5Aopen(owner.get(), name.c_str(), H5P_DEFAULT), H5Aclose);
    expect_read(attribute.ok(), where);
    const Handle type(H5Aget_type(attribute.get()), H5Tclose);
    const Handle space(H5Aget_space(attribute.get()), H5Sclose);
    expect_read(type.ok() && space.ok(), where);
    if (H5Tget_class(type.get()) != type_class || H5Sget_simple_extent_npoints(space.get()) != 1) {
      throw InputError(where, expected, "another type");
    }
    return attribute;
  }

  template <typename T>
  [[nodiscard]] T number_attribute(const std::string& object,
                                   const std::string& name,
                                   H5T_class_t type_class,
                                   const char* expected) const {
    const Handle attribute = open_attribute(object, name, type_class, expected);
    T value{};
    expect_read(H5Aread(attribute.get(), memory_type<T>(), &value) >= 0,
                place(object_path(object) + " attribute " + name));
    return value;
  }

  [[nodiscard]] Dims dims(hid_t data, const std::string& name) const {
    const Handle space(H5Dget_space(data), H5Sclose);
    expect_read(space.ok(), place(name));
    const int rank = H5Sget_simple_extent_ndims(space.get());
    expect_read(rank >= 0, place(name));
    std::vector<hsize_t> sizes(static_cast<size_t>(rank));
    expect_read(H5Sget_simple_extent_dims(space.get(), sizes.data(), nullptr) >= 0, place(name));
    Dims result;
    for (const hsize_t size : sizes) {
      if (size > static_cast<hsize_t>(std::numeric_limits<int64_t>::max())) {
        throw InputError(place(name), "a sensible size", std::to_string(size));
      }
      result.push_back(static_cast<int64_t>(size));
    }
    return result;
  }

  // Number of elements, after the dims were compared and the claim was weighed against the bytes
  // that the file can hold: a damaged header must not make us allocate what is not there.
  [[nodiscard]] size_t checked_count(hid_t data,
                                     const std::string& name,
                                     const Dims& expected,
                                     size_t element_bytes) const {
    const Dims found = dims(data, name);
    bool agree = found.size() == expected.size();
    for (size_t i = 0; agree && i < found.size(); ++i) {
      agree = expected[i] < 0 || expected[i] == found[i];
    }
    if (!agree) throw InputError(place(name), "dims " + dims_text(expected), dims_text(found));
    constexpr double kBestDeflate = 1100.0;  // deflate packs at most 1032 : 1
    double bytes = static_cast<double>(element_bytes);
    for (const int64_t dim : found) bytes *= static_cast<double>(dim);
    if (bytes > kBestDeflate * static_cast<double>(file_size)) {
      throw InputError(place(name), "no more data than the file holds", dims_text(found),
                       "The file is damaged; make it again.");
    }
    const int64_t count = product(found);
    if (count > 0 && H5Dget_storage_size(data) == 0) {
      throw InputError(place(name), "stored data", "none",
                       "The file is damaged or incomplete; make it again.");
    }
    return static_cast<size_t>(count);
  }
};

Hdf5Reader::Hdf5Reader(const std::filesystem::path& path) : state_(std::make_unique<State>()) {
  silence();
  state_->path = path.string();
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    throw InputError(path.string(), "an HDF5 file",
                     std::filesystem::exists(path, error) ? "a folder or device" : "no such file");
  }
  state_->file_size = static_cast<int64_t>(std::filesystem::file_size(path, error));
  const Handle access = file_access();
  state_->file = Handle(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()), H5Fclose);
  if (!state_->file.ok()) {
    throw InputError(path.string(), "a readable HDF5 file", hdf5_reason(),
                     "The file is damaged, incomplete, or not HDF5.");
  }
  haddr_t end = 0;
  if (H5Fget_eoa(state_->file.get(), &end) < 0 || end != static_cast<haddr_t>(state_->file_size)) {
    throw InputError(path.string(), std::to_string(end) + " bytes, as its header says",
                     std::to_string(state_->file_size), "The file is damaged; make it again.");
  }
}

Hdf5Reader::~Hdf5Reader() = default;

const std::string& Hdf5Reader::path() const {
  return state_->path;
}

bool Hdf5Reader::has(const std::string& name) const {
  return state_->has(name);
}

bool Hdf5Reader::has_attribute(const std::string& object, const std::string& name) const {
  if (!state_->has(object)) return false;
  return H5Aexists(state_->open_object(object).get(), name.c_str()) > 0;
}

std::vector<std::string> Hdf5Reader::children(const std::string& group) const {
  const Handle object = state_->open_object(group);
  const std::string where = state_->place(object_path(group));
  if (H5Iget_type(object.get()) != H5I_GROUP) throw InputError(where, "a group", "a dataset");
  std::vector<std::string> names;
  const auto collect = [](hid_t, const char* name, const H5L_info_t*, void* out) -> herr_t {
    static_cast<std::vector<std::string>*>(out)->emplace_back(name);
    return 0;
  };
  expect_read(H5Literate(object.get(), H5_INDEX_NAME, H5_ITER_INC, nullptr, collect, &names) >= 0,
              where);
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> Hdf5Reader::attribute_names(const std::string& object_name) const {
  const Handle object = state_->open_object(object_name);
  std::vector<std::string> names;
  const auto collect = [](hid_t, const char* name, const H5A_info_t*, void* out) -> herr_t {
    static_cast<std::vector<std::string>*>(out)->emplace_back(name);
    return 0;
  };
  expect_read(H5Aiterate2(object.get(), H5_INDEX_NAME, H5_ITER_INC, nullptr, collect, &names) >= 0,
              state_->place(object_path(object_name)));
  std::sort(names.begin(), names.end());
  return names;
}

std::string Hdf5Reader::string_attribute(const std::string& object, const std::string& name) const {
  const Handle attribute = state_->open_attribute(object, name, H5T_STRING, "a string");
  const std::string where = state_->place(object_path(object) + " attribute " + name);
  const Handle type(H5Aget_type(attribute.get()), H5Tclose);
  if (H5Tis_variable_str(type.get()) > 0) {
    char* text = nullptr;
    const Handle in_memory = string_type(H5T_VARIABLE);
    H5Tset_cset(in_memory.get(), H5Tget_cset(type.get()));
    expect_read(H5Aread(attribute.get(), in_memory.get(), &text) >= 0, where);
    const std::string value = text == nullptr ? "" : text;
    H5free_memory(text);
    return value;
  }
  std::string value(H5Tget_size(type.get()), '\0');
  expect_read(H5Aread(attribute.get(), type.get(), value.data()) >= 0, where);
  while (!value.empty() && value.back() == '\0') value.pop_back();
  return value;
}

int64_t Hdf5Reader::int_attribute(const std::string& object, const std::string& name) const {
  return state_->number_attribute<int64_t>(object, name, H5T_INTEGER, "a whole number");
}

uint64_t Hdf5Reader::uint_attribute(const std::string& object, const std::string& name) const {
  return state_->number_attribute<uint64_t>(object, name, H5T_INTEGER, "a whole number");
}

double Hdf5Reader::double_attribute(const std::string& object, const std::string& name) const {
  return state_->number_attribute<double>(object, name, H5T_FLOAT, "a number");
}

Dims Hdf5Reader::dims(const std::string& name) const {
  return state_->dims(state_->open_dataset(name).get(), name);
}

template <typename T>
std::vector<T> Hdf5Reader::read(const std::string& name, const Dims& expected) const {
  const Handle data = state_->open_dataset(name);
  const Handle type(H5Dget_type(data.get()), H5Tclose);
  const H5T_class_t found = H5Tget_class(type.get());
  if (found != H5T_INTEGER && (found != H5T_FLOAT || std::is_integral_v<T>)) {
    throw InputError(state_->place(name), std::is_integral_v<T> ? "whole numbers" : "numbers",
                     "another type");
  }
  std::vector<T> values(state_->checked_count(data.get(), name, expected, sizeof(T)));
  if (values.empty()) return values;
  expect_read(
      H5Dread(data.get(), memory_type<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()) >= 0,
      state_->place(name));
  return values;
}

template std::vector<float> Hdf5Reader::read(const std::string&, const Dims&) const;
template std::vector<double> Hdf5Reader::read(const std::string&, const Dims&) const;
template std::vector<int64_t> Hdf5Reader::read(const std::string&, const Dims&) const;
template std::vector<uint8_t> Hdf5Reader::read(const std::string&, const Dims&) const;

template <>
std::vector<std::string> Hdf5Reader::read(const std::string& name, const Dims& expected) const {
  const Handle data = state_->open_dataset(name);
  const Handle type(H5Dget_type(data.get()), H5Tclose);
  const std::string where = state_->place(name);
  if (H5Tget_class(type.get()) != H5T_STRING) throw InputError(where, "text", "another type");
  const bool variable = H5Tis_variable_str(type.get()) > 0;
  const size_t width = variable ? sizeof(char*) : H5Tget_size(type.get());
  const size_t count = state_->checked_count(data.get(), name, expected, width);
  std::vector<std::string> values(count);
  if (count == 0) return values;
  const auto read_into = [&](void* out) {
    expect_read(H5Dread(data.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, out) >= 0, where);
  };
  if (variable) {
    std::vector<char*> texts(count, nullptr);
    read_into(texts.data());
    for (size_t i = 0; i < count; ++i) {
      if (texts[i] != nullptr) values[i] = texts[i];
      H5free_memory(texts[i]);
    }
    return values;
  }
  std::string packed(count * width, '\0');
  read_into(packed.data());
  for (size_t i = 0; i < count; ++i) {
    values[i] = packed.substr(i * width, width);
    while (!values[i].empty() && values[i].back() == '\0') values[i].pop_back();
  }
  return values;
}

}  // namespace headscope::outputs
