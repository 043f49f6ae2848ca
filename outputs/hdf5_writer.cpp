#include <algorithm>
#include <stdexcept>

#include "outputs/atomic_file.h"
#include "outputs/hdf5_handle.h"
#include "outputs/input_error.h"

namespace headscope::outputs {
namespace {

// About a megabyte of float32: large enough to compress well, small enough to read in part.
constexpr int64_t kChunkElements = int64_t{1} << 18;
constexpr unsigned kDeflateLevel = 4;

[[noreturn]] void fail_to_write(const std::string& place) {
  throw InputError(place, "room and leave to write", hdf5_reason(),
                   "Check the free space of that disk.");
}

void expect_written(bool ok, const std::string& place) {
  if (!ok) fail_to_write(place);
}

std::vector<hsize_t> to_hsize(const Dims& dims) {
  return {dims.begin(), dims.end()};
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

Hdf5Handle dataset_properties(const Dims& dims, bool growing) {
  Hdf5Handle properties(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
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

}  // namespace

struct Hdf5Writer::State {
  State(const std::filesystem::path& path, bool overwrite)
      : atomic(path, overwrite), file(-1, H5Fclose) {}
  AtomicFile atomic;  // outlives the handle below, which is closed first
  Hdf5Handle file;

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
    const Hdf5Handle properties(H5Pcreate(H5P_GROUP_CREATE), H5Pclose);
    H5Pset_obj_track_times(properties.get(), false);
    const Hdf5Handle group(
        H5Gcreate2(file.get(), name.c_str(), H5P_DEFAULT, properties.get(), H5P_DEFAULT), H5Gclose);
    expect_written(group.ok(), place(name));
  }

  void attribute(const std::string& object,
                 const std::string& name,
                 hid_t stored,
                 hid_t in_memory,
                 const void* value) {
    const std::string where = place(object_path(object) + " attribute " + name);
    const Hdf5Handle owner(H5Oopen(file.get(), object_path(object).c_str(), H5P_DEFAULT), H5Oclose);
    expect_written(owner.ok(), where);
    const Hdf5Handle space(H5Screate(H5S_SCALAR), H5Sclose);
    const Hdf5Handle attribute(
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
    const Hdf5Handle space(H5Screate_simple(static_cast<int>(sizes.size()), sizes.data(), nullptr),
                           H5Sclose);
    const Hdf5Handle properties = dataset_properties(dims, /*growing=*/false);
    Hdf5Handle data(H5Dcreate2(file.get(), name.c_str(), stored, space.get(), H5P_DEFAULT,
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

  Hdf5Handle open_growing(const std::string& name, const Dims& row_dims) {
    if (exists(name)) return {H5Dopen2(file.get(), name.c_str(), H5P_DEFAULT), H5Dclose};
    make_groups(name);
    Dims dims = row_dims;
    dims.insert(dims.begin(), 0);
    const std::vector<hsize_t> start = to_hsize(dims);
    std::vector<hsize_t> most = start;
    most[0] = H5S_UNLIMITED;
    const Hdf5Handle space(
        H5Screate_simple(static_cast<int>(start.size()), start.data(), most.data()), H5Sclose);
    const Hdf5Handle properties = dataset_properties(dims, /*growing=*/true);
    return {H5Dcreate2(file.get(), name.c_str(), H5T_IEEE_F32LE, space.get(), H5P_DEFAULT,
                       properties.get(), H5P_DEFAULT),
            H5Dclose};
  }
};

Hdf5Writer::Hdf5Writer(const std::filesystem::path& path, bool overwrite)
    : state_(std::make_unique<State>(path, overwrite)) {
  silence_hdf5();
  const Hdf5Handle access = file_access();
  const Hdf5Handle creation(H5Pcreate(H5P_FILE_CREATE), H5Pclose);
  H5Pset_obj_track_times(creation.get(), false);
  const hid_t id = H5Fcreate(state_->atomic.temporary_path().c_str(), H5F_ACC_TRUNC, creation.get(),
                             access.get());
  expect_written(id >= 0, path.string());
  state_->file = Hdf5Handle(id, H5Fclose);
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
  const Hdf5Handle type = string_type(std::max<size_t>(1, value.size()));
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
  const Hdf5Handle type = string_type(longest);
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
  Hdf5Handle data = state_->open_growing(name, row_dims);
  expect_written(data.ok(), where);
  std::vector<hsize_t> sizes(row_dims.size() + 1);
  {
    const Hdf5Handle space(H5Dget_space(data.get()), H5Sclose);
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
  const Hdf5Handle space(H5Dget_space(data.get()), H5Sclose);
  H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, start.data(), nullptr, added.data(), nullptr);
  const Hdf5Handle memory(H5Screate_simple(static_cast<int>(added.size()), added.data(), nullptr),
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

}  // namespace headscope::outputs
