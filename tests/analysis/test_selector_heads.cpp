#include <catch2/catch.hpp>
#include <cmath>

#include "analysis/selector_heads.h"

namespace headscope::analysis {
namespace {

using Catch::Contains;

// Two layers of three heads, eight probes of four needles.
HeadSamples samples_of(const std::vector<std::vector<float>>& of_head) {
  HeadSamples samples{.num_layers = 2, .num_query_heads = 3, .values = {}, .clusters = {}};
  for (size_t probe = 0; probe < of_head.front().size(); ++probe) {
    for (const std::vector<float>& head : of_head) samples.values.push_back(head[probe]);
    samples.clusters.push_back("needle-" + std::to_string(probe / 2));
  }
  return samples;
}

TEST_CASE("as many heads choose a layer's keys as surely score above the threshold", "[analysis]") {
  const std::vector<float> sure(8, 0.5F);
  const std::vector<float> surer(8, 0.8F);
  // A mean of 0.25 that two probes of one needle carry alone: not sure.
  const std::vector<float> lucky{1.0F, 1.0F, 0.0F, 0.0F, 0.0F, 0.0F, 0.0F, 0.0F};
  const std::vector<float> nothing(8, 0.01F);
  const std::vector<float> unmeasured(8, std::nanf(""));
  const SelectorHeads chosen =
      heads_above(samples_of({sure, lucky, surer, nothing, unmeasured, lucky}), {.threshold = 0.1});
  REQUIRE(chosen.heads.size() == 2);
  CHECK(chosen.heads[0] == std::vector<int64_t>{2, 0});
  // No head of layer 1 is sure: all of them, the best mean first and the unmeasured last.
  CHECK(chosen.heads[1] == std::vector<int64_t>{2, 0, 1});
  REQUIRE(chosen.notes.size() == 1);
  CHECK_THAT(chosen.notes[0], Contains("layers 1:") && Contains("all of their heads"));
  CHECK(heads_above(samples_of({sure, lucky, surer, sure, sure, sure}), {.threshold = 0.6})
            .heads[0] == std::vector<int64_t>{2});
}

TEST_CASE("samples that do not fit their shape are refused", "[analysis]") {
  HeadSamples samples = samples_of({{0.5F}, {0.5F}, {0.5F}, {0.5F}, {0.5F}, {0.5F}});
  samples.values.pop_back();
  CHECK_THROWS_AS(heads_above(samples), std::invalid_argument);
}

}  // namespace
}  // namespace headscope::analysis
