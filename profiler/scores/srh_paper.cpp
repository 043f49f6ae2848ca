#include "profiler/scores/srh_paper.h"

namespace headscope::profiler {

float SrhPaperScorer::weight(int64_t) const {
  return 1.0F;
}

float SrhPaperScorer::sample(float sum, int64_t) const {
  return sum;
}

}  // namespace headscope::profiler
