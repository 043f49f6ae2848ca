// Whether two runs of the same probes say the same.
#pragma once

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include "outputs/head_profile.h"

namespace headscope::testing {

// Same probes, same responses; samples both NaN, or apart by at most `absolute` + `relative` times
// the larger.
inline void check_same(const HeadProfile& a,
                       const HeadProfile& b,
                       double absolute,
                       double relative = 0.0) {
  REQUIRE(a.probes.size() == b.probes.size());
  for (size_t i = 0; i < a.probes.size(); ++i) {
    INFO("probe " << i);
    CHECK(a.probes[i].id == b.probes[i].id);
    CHECK(a.probes[i].response == b.probes[i].response);
    CHECK(a.probes[i].success == b.probes[i].success);
    CHECK(a.probes[i].prompt_hash == b.probes[i].prompt_hash);
  }
  REQUIRE(a.scores.size() == b.scores.size());
  for (const auto& [name, table] : a.scores) {
    const std::vector<float>& other = b.scores.at(name).samples;
    REQUIRE(table.samples.size() == other.size());
    double worst = 0.0;
    for (size_t i = 0; i < other.size(); ++i) {
      REQUIRE(std::isnan(table.samples[i]) == std::isnan(other[i]));
      if (std::isnan(other[i])) continue;
      const double x = table.samples[i], y = other[i];
      worst = std::max(worst, std::abs(x - y) - relative * std::max(std::abs(x), std::abs(y)));
    }
    INFO(name << ": largest difference beyond " << relative << " of the value " << worst);
    CHECK(worst <= absolute);
  }
}

}  // namespace headscope::testing
