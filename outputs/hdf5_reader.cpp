#include <algorithm>
#include <limits>

#include "outputs/hdf5_handle.h"
#include "outputs/input_error.h"

namespace headscope::outputs {
namespace {

[[noreturn]] void fail_to_read(const std::string& place) {
  throw InputError(place, "readable data", hdf5_reason(),
                   "The file is damaged or incomplete; make it again.");
}

void expect_read(bool ok, const std::string& place) {
  if (!ok) fail_to_read(place);
}

}  // namespace

struct Hdf5Reader::State {
  std::string path;
  int64_t file_size = 0;
  Hdf5Handle file{-1, H5Fclose};

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

  [[nodiscard]] Hdf5Handle open_object(const std::string& name) const {
    if (!has(name)) throw InputError(place(object_path(name)), "this group or dataset", "nothing");
    Hdf5Handle object(H5Oopen(file.get(), object_path(name).c_str(), H5P_DEFAULT), H5Oclose);
    expect_read(object.ok(), place(object_path(name)));
    return object;
  }

  [[nodiscard]] Hdf5Handle open_dataset(const std::string& name) const {
    const Hdf5Handle object = open_object(name);
    if (H5Iget_type(object.get()) != H5I_DATASET) {
      throw InputError(place(name), "a dataset", "a group");
    }
    Hdf5Handle data(H5Dopen2(file.get(), name.c_str(), H5P_DEFAULT), H5Dclose);
    expect_read(data.ok(), place(name));
    return data;
  }

  // One scalar attribute whose type is of `type_class`.
  [[nodiscard]] Hdf5Handle open_attribute(const std::string& object,
                                          const std::string& name,
                                          H5T_class_t type_class,
                                          const char* expected) const {
    const std::string where = place(object_path(object) + " attribute " + name);
    const Hdf5Handle owner = open_object(object);
    if (H5Aexists(owner.get(), name.c_str()) <= 0) {
      throw InputError(where, expected, "no such attribute");
    }
    Hdf5Handle attribute(H5Aopen(owner.get(), name.c_str(), H5P_DEFAULT), H5Aclose);
    expect_read(attribute.ok(), where);
    const Hdf5Handle type(H5Aget_type(attribute.get()), H5Tclose);
    const Hdf5Handle space(H5Aget_space(attribute.get()), H5Sclose);
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
    const Hdf5Handle attribute = open_attribute(object, name, type_class, expected);
    T value{};
    expect_read(H5Aread(attribute.get(), memory_type<T>(), &value) >= 0,
                place(object_path(object) + " attribute " + name));
    return value;
  }

  [[nodiscard]] Dims dims(hid_t data, const std::string& name) const {
    const Hdf5Handle space(H5Dget_space(data), H5Sclose);
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
  silence_hdf5();
  state_->path = path.string();
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    throw InputError(path.string(), "an HDF5 file",
                     std::filesystem::exists(path, error) ? "a folder or device" : "no such file");
  }
  state_->file_size = static_cast<int64_t>(std::filesystem::file_size(path, error));
  const Hdf5Handle access = file_access();
  state_->file = Hdf5Handle(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()), H5Fclose);
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
  const Hdf5Handle object = state_->open_object(group);
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
  const Hdf5Handle object = state_->open_object(object_name);
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
  const Hdf5Handle attribute = state_->open_attribute(object, name, H5T_STRING, "a string");
  const std::string where = state_->place(object_path(object) + " attribute " + name);
  const Hdf5Handle type(H5Aget_type(attribute.get()), H5Tclose);
  if (H5Tis_variable_str(type.get()) > 0) {
    char* text = nullptr;
    const Hdf5Handle in_memory = string_type(H5T_VARIABLE);
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
  const Hdf5Handle data = state_->open_dataset(name);
  const Hdf5Handle type(H5Dget_type(data.get()), H5Tclose);
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
  const Hdf5Handle data = state_->open_dataset(name);
  const Hdf5Handle type(H5Dget_type(data.get()), H5Tclose);
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
