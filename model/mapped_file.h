// A file mapped read-only into memory: nothing is read until it is touched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace headscope::model {

class MappedFile {
 public:
  // InputError where the file cannot be opened, is not a regular file, or is empty.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  MappedFile& operator=(MappedFile&&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::span<const std::byte> bytes() const { return {data_, size_}; }
  // Gives the pages of a range back, so that what was read does not count as memory in use; they
  // are read again when touched again.
  void release(uint64_t begin, uint64_t end) const;

 private:
  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace headscope::model
