// A profile as bytes, the part apart that differs between two equal runs.
#pragma once

#include <string>

#include "outputs/profile_file.h"
#include "tests/support/program.h"
#include "tests/support/scratch_folder.h"

namespace headscope::testing {

// The file that the profile would be with an empty /provenance.
inline std::string bytes_without_provenance(const std::string& path) {
  HeadProfile profile = outputs::read_profile(path);
  profile.provenance = {};
  const ScratchFolder scratch;
  outputs::write_profile(profile, scratch.file("bare.h5"), /*overwrite=*/false);
  return read_text(scratch.file("bare.h5"));
}

}  // namespace headscope::testing
