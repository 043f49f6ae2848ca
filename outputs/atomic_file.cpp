#include "outputs/atomic_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "outputs/input_error.h"

namespace headscope::outputs {
namespace fs = std::filesystem;
namespace {

std::string reason(int error) {
  return std::strerror(error);
}

[[noreturn]] void refuse_existing(const fs::path& path) {
  throw InputError(path.string(), "an output file that does not exist yet", "an existing file",
                   "Choose another name, or give --force to replace it.");
}

[[noreturn]] void fail_to_write(const fs::path& path, int error) {
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  throw InputError(
      path.string(), full ? "room for the output" : "a writable place for the output",
      reason(error),
      full ? "Free some space, or write to another disk." : "Choose a folder that can be written.");
}

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

// A link keeps pointing where it did: the file behind it is what gets replaced.
fs::path behind_links(const fs::path& path) {
  std::error_code error;
  const fs::path resolved = fs::is_symlink(path, error) ? fs::canonical(path, error) : fs::path();
  return error || resolved.empty() ? path : resolved;
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }
  // Some file systems tell of a full disk only here.
  [[nodiscard]] bool close() {
    const int fd = fd_;
    fd_ = -1;
    return ::close(fd) == 0;
  }

 private:
  int fd_;
};

// rename() that does not replace: another process may have made the file since we looked.
bool rename_to_new(const fs::path& from, const fs::path& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) {
    return true;
  }
  if (errno != EINVAL && errno != ENOSYS) return false;
  // A file system without that flag: a hard link fails on an existing name as well.
  if (::link(from.c_str(), to.c_str()) != 0) return false;
  ::unlink(from.c_str());
  return true;
}

}  // namespace

void check_output_path(const fs::path& path, bool overwrite) {
  if (path.empty() || path.filename().empty() || path.filename() == "." ||
      path.filename() == "..") {
    throw InputError("output '" + path.string() + "'", "the name of a file", "no file name");
  }
  const fs::path folder = folder_of(behind_links(path));
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    throw InputError(path.string(), "an existing folder to write to",
                     "no folder " + folder.string(), "Make the folder first.");
  }
  const fs::file_status status = fs::status(path, error);
  if (fs::exists(status)) {
    if (!fs::is_regular_file(status)) {
      throw InputError(path.string(), "a regular file or a new name",
                       fs::is_directory(status) ? "a folder" : "a device or pipe");
    }
    if (!overwrite) refuse_existing(path);
  }
  if (::access(folder.c_str(), W_OK | X_OK) != 0) fail_to_write(path, errno);
}

AtomicFile::AtomicFile(const fs::path& path, bool overwrite)
    : path_(path), target_(behind_links(path)), overwrite_(overwrite) {
  check_output_path(path, overwrite);
  static std::atomic<int> counter{0};
  for (;;) {
    const std::string name = "." + target_.filename().string() + "." + std::to_string(::getpid()) +
                             "-" + std::to_string(counter++) + ".tmp";
    const fs::path candidate = folder_of(target_) / name;
    // 0666 less the umask, as any program's output; mkstemp would give 0600.
    const Descriptor made(::open(candidate.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666));
    if (made.get() >= 0) {
      temporary_ = candidate;
      return;
    }
    if (errno != EEXIST) fail_to_write(path_, errno);
  }
}

AtomicFile::~AtomicFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::commit() {
  Descriptor file(::open(temporary_.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0 || ::fsync(file.get()) != 0 || !file.close()) fail_to_write(path_, errno);
  if (overwrite_) {
    if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail_to_write(path_, errno);
  } else if (!rename_to_new(temporary_, target_)) {
    if (errno == EEXIST) refuse_existing(path_);
    fail_to_write(path_, errno);
  }
  temporary_.clear();
  // The name itself must survive a power cut. Not every file system can sync a folder; where it
  // cannot, the rename has still happened, so this is no reason to fail.
  const Descriptor folder(::open(folder_of(target_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() >= 0) static_cast<void>(::fsync(folder.get()));
}

void write_file_atomically(const fs::path& path, std::string_view bytes, bool overwrite) {
  AtomicFile file(path, overwrite);
  Descriptor out(::open(file.temporary_path().c_str(), O_WRONLY | O_CLOEXEC));
  if (out.get() < 0) fail_to_write(path, errno);
  while (!bytes.empty()) {
    const ssize_t written = ::write(out.get(), bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      fail_to_write(path, errno);
    }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  if (!out.close()) fail_to_write(path, errno);
  file.commit();
}

std::string read_file(const fs::path& path, int64_t max_bytes) {
  const Descriptor in(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status {};
  if (in.get() < 0 || ::fstat(in.get(), &status) != 0) {
    throw InputError(path.string(), "a readable file", reason(errno));
  }
  if (!S_ISREG(status.st_mode)) {
    throw InputError(path.string(), "a regular file",
                     S_ISDIR(status.st_mode) ? "a folder" : "a device or pipe");
  }
  if (status.st_size > max_bytes) {
    throw InputError(path.string(), "at most " + std::to_string(max_bytes) + " bytes",
                     std::to_string(status.st_size));
  }
  std::string bytes(static_cast<size_t>(status.st_size), '\0');
  size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t got = ::read(in.get(), bytes.data() + filled, bytes.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw InputError(path.string(), "a readable file", reason(errno));
    if (got == 0) break;  // shrank since fstat
    filled += static_cast<size_t>(got);
  }
  bytes.resize(filled);
  return bytes;
}

}  // namespace headscope::outputs
