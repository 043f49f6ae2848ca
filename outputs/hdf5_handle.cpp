#include "outputs/hdf5_handle.h"

#include <fstream>
#include <string_view>

namespace headscope::outputs {

void silence_hdf5() {
  static const bool no_exit_handler = H5dont_atexit() >= 0;
  static_cast<void>(no_exit_handler);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

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

Hdf5Handle string_type(size_t size) {
  Hdf5Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type.get(), size);
  H5Tset_cset(type.get(), H5T_CSET_UTF8);
  H5Tset_strpad(type.get(), size == H5T_VARIABLE ? H5T_STR_NULLTERM : H5T_STR_NULLPAD);
  return type;
}

Hdf5Handle file_access() {
  Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_libver_bounds(access.get(), H5F_LIBVER_V110, H5F_LIBVER_V110);
  H5Pset_fclose_degree(access.get(), H5F_CLOSE_STRONG);
  return access;
}

std::string dataset_place(const std::string& path, const std::string& name) {
  return path + ": " + name;
}

bool has_hdf5_signature(const std::filesystem::path& path) {
  char bytes[8] = {};
  std::ifstream file(path, std::ios::binary);
  file.read(bytes, sizeof(bytes));
  return file.gcount() == sizeof(bytes) && std::string_view(bytes, 8) == "\x89HDF\r\n\x1a\n";
}

}  // namespace headscope::outputs
