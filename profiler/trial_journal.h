// The file that an unfinished run leaves: finished trials, each appended the moment it is done. It
// may be cut off at any byte (a killed process, a full disk): what is whole is read, the torn end
// is dropped.
//
//   "headscope.trials 1\n", then records: length (uint64, little endian), payload, SHA-256 of the
//   payload as 64 hex digits. The first payload is the run (JSON); each further one is a JSON
//   object, a newline, and the samples as float32, trial by trial, score by score:
//   {"trials": [{"address", "response", "gate"}, ...], "scores": [...], "heads": N}
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "profiler/trial.h"

namespace headscope::profiler {

struct JournalContents {
  TrialRun run;
  std::vector<Trial> trials;
  int64_t valid_bytes = 0;  // up to the last whole record
};

// None where there is no file, or one cut off before its run was told. InputError where the file is
// something else, cannot be read, or holds a record that is whole and makes no sense.
[[nodiscard]] std::optional<JournalContents> read_journal(const std::filesystem::path& path);

// Appends to a journal, which is made where there is none; a torn end is cut off first. One writer
// at a time: the file is locked.
class JournalWriter {
 public:
  // The journal must be of this run (see TrialLog). InputError where it cannot be written, or
  // another process is writing it.
  JournalWriter(std::filesystem::path path, const TrialRun& run);
  ~JournalWriter();
  JournalWriter(const JournalWriter&) = delete;
  JournalWriter& operator=(const JournalWriter&) = delete;

  // All of them or none. They outlive the process at once, and a power cut from the next sync() on.
  // InputError where the disk is full.
  void append(const std::vector<Trial>& trials);
  void sync();

 private:
  void append_record(const std::string& payload);

  std::filesystem::path path_;
  int descriptor_ = -1;
};

}  // namespace headscope::profiler
