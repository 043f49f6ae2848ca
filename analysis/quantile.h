// Quantiles of a sample, linear between neighbours (type 7 of Hyndman and Fan 1996).
#pragma once

#include <vector>

namespace headscope::analysis {

// The q-quantile (0..1) of ascending, non-empty values.
[[nodiscard]] double quantile(const std::vector<double>& sorted, double q);

}  // namespace headscope::analysis
