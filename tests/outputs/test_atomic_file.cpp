#include "outputs/atomic_file.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <iostream>

#include "outputs/profile_file.h"
#include "tests/outputs/samples.h"
#include "tests/support/scratch_folder.h"

namespace headscope::outputs {
namespace {

using testing::ScratchFolder;

// While it lives, no file of this process may grow past `bytes`: writing more fails as on a full
// disk.
class SmallDisk {
 public:
  explicit SmallDisk(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    handler_ = ::signal(SIGXFSZ, SIG_IGN);
    const rlimit small{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &small);
  }
  ~SmallDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, handler_);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

 private:
  rlimit before_{};
  void (*handler_)(int) = nullptr;
};

}  // namespace

TEST_CASE("an output file appears whole and alone", "[outputs]") {
  const ScratchFolder folder;
  write_file_atomically(folder / "a.json", "words", false);
  CHECK(read_file(folder / "a.json") == "words");
  CHECK(folder.names().size() == 1);
}

TEST_CASE("an existing output is refused without force and replaced with it", "[outputs]") {
  const ScratchFolder folder;
  write_file_atomically(folder / "a.json", "first", false);
  const std::string message =
      complaint([&] { write_file_atomically(folder / "a.json", "second", false); });
  CHECK(contains(message, "--force"));
  CHECK(contains(message, "a.json"));
  CHECK(read_file(folder / "a.json") == "first");
  write_file_atomically(folder / "a.json", "third", true);
  CHECK(read_file(folder / "a.json") == "third");
  CHECK(folder.names().size() == 1);
}

TEST_CASE("a file that another program made meanwhile is not replaced", "[outputs]") {
  const ScratchFolder folder;
  AtomicFile file(folder / "a.json", false);
  std::ofstream(folder / "a.json") << "theirs";
  CHECK(contains(complaint([&] { file.commit(); }), "--force"));
  CHECK(read_file(folder / "a.json") == "theirs");
}

TEST_CASE("an output without commit leaves nothing behind", "[outputs]") {
  const ScratchFolder folder;
  {
    const AtomicFile file(folder / "a.json", false);
    std::ofstream(file.temporary_path()) << "half";
    CHECK(file.temporary_path().parent_path() == folder.path());
    CHECK(folder.names().size() == 1);
  }
  CHECK(folder.names().size() == 0);
}

TEST_CASE("a full disk is the user's error and leaves the old file and no other", "[outputs]") {
  const ScratchFolder folder;
  write_file_atomically(folder / "a.json", "old", false);
  const HeadProfile profile = sample_profile();
  std::string text_message;
  std::string hdf5_message;
  {
    const SmallDisk disk(1024);
    text_message =
        complaint([&] { write_file_atomically(folder / "a.json", std::string(5000, 'x'), true); });
    hdf5_message = complaint([&] { write_profile(profile, folder / "p.h5", false); });
  }
  CHECK(contains(text_message, "room for the output"));
  CHECK(contains(hdf5_message, "p.h5"));
  CHECK(read_file(folder / "a.json") == "old");
  CHECK(folder.names().size() == 1);
  // The library is still in order afterwards.
  write_profile(profile, folder / "p.h5", false);
  CHECK(read_profile(folder / "p.h5").probes.size() == profile.probes.size());
}

TEST_CASE("places that cannot be written are named", "[outputs]") {
  const ScratchFolder folder;
  CHECK(contains(complaint([&] { check_output_path(folder / "no/such/a.json", false); }),
                 "existing folder"));
  CHECK(contains(complaint([&] { check_output_path(folder.path(), true); }), "a folder"));
  CHECK(contains(complaint([&] { check_output_path("/dev/full", true); }), "a device"));
  CHECK(contains(complaint([&] { check_output_path("", false); }), "the name of a file"));
  if (::geteuid() == 0) {
    std::cout << "SKIPPED: root may write to any folder" << std::endl;
    return;
  }
  ::chmod(folder.path().c_str(), 0500);
  CHECK(contains(complaint([&] { check_output_path(folder / "a.json", false); }),
                 "a writable place"));
  ::chmod(folder.path().c_str(), 0700);
}

TEST_CASE("an output through a symbolic link replaces the file behind it", "[outputs]") {
  const ScratchFolder folder;
  write_file_atomically(folder / "real.json", "old", false);
  std::filesystem::create_symlink(folder / "real.json", folder / "link.json");
  write_file_atomically(folder / "link.json", "new", true);
  CHECK(std::filesystem::is_symlink(folder / "link.json"));
  CHECK(read_file(folder / "real.json") == "new");
}

TEST_CASE("reading names what is wrong with the path", "[outputs]") {
  const ScratchFolder folder;
  CHECK(contains(complaint([&] { static_cast<void>(read_file(folder / "none.json")); }),
                 "none.json"));
  CHECK(contains(complaint([&] { static_cast<void>(read_file(folder.path())); }), "a folder"));
  write_file_atomically(folder / "a.json", "12345", false);
  CHECK(contains(complaint([&] { static_cast<void>(read_file(folder / "a.json", 4)); }),
                 "at most 4 bytes"));
}

}  // namespace headscope::outputs
