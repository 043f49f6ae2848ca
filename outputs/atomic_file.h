// Files that appear whole or not at all: written under a temporary name in the same folder, synced,
// and renamed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace headscope::outputs {

// Throws InputError when `path` cannot become an output file: it exists and `overwrite` is false
// (the message names --force), it is no regular file, or its folder is missing or not writable.
// Commands call it before a long run; AtomicFile calls it again.
void check_output_path(const std::filesystem::path& path, bool overwrite);

// Hands out a temporary path for any writer to fill. Unless commit() succeeds, the temporary file
// is removed and what stood at `path` before is untouched.
class AtomicFile {
 public:
  AtomicFile(const std::filesystem::path& path, bool overwrite);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  // An empty file that exists already, in the folder of `path`.
  [[nodiscard]] const std::filesystem::path& temporary_path() const { return temporary_; }
  // The path as the user gave it, for messages.
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  // Syncs the temporary file, renames it to `path` and syncs the folder. The writer must have
  // closed its handle. Throws InputError (a full disk may show only here).
  void commit();

 private:
  std::filesystem::path path_;       // as given
  std::filesystem::path target_;     // symbolic links resolved
  std::filesystem::path temporary_;  // empty once committed
  bool overwrite_;
};

void write_file_atomically(const std::filesystem::path& path,
                           std::string_view bytes,
                           bool overwrite);

// The whole file. Throws InputError when it is missing, no regular file, unreadable, or larger than
// `max_bytes`.
[[nodiscard]] std::string read_file(const std::filesystem::path& path,
                                    int64_t max_bytes = int64_t{1} << 30);

}  // namespace headscope::outputs
