#include "profiler/scores/srh_code.h"

namespace headscope::profiler {

float SrhCodeScorer::weight(int64_t occurrences) const {
  return static_cast<float>(occurrences);
}

float SrhCodeScorer::sample(float sum, int64_t) const {
  return sum;
}

}  // namespace headscope::profiler
