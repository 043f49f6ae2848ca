#include "outputs/head_profile.h"

#include <algorithm>

namespace headscope {

int64_t HeadProfile::num_successful() const {
  return std::count_if(probes.begin(), probes.end(),
                       [](const ProbeRecord& probe) { return probe.success; });
}

}  // namespace headscope
