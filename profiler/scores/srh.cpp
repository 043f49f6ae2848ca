#include "profiler/scores/srh.h"

#include <limits>

namespace headscope::profiler {

float SrhScorer::weight(int64_t) const {
  return 1.0F;
}

float SrhScorer::sample(float sum, int64_t num_hits) const {
  if (num_hits == 0) return std::numeric_limits<float>::quiet_NaN();
  return sum / static_cast<float>(num_hits);
}

}  // namespace headscope::profiler
