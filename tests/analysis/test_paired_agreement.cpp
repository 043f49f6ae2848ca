#include "analysis/paired_agreement.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <random>
#include <stdexcept>

namespace headscope::analysis {
namespace {

constexpr uint64_t kSeed = 11;
constexpr int64_t kHeads = 60;

// Probe i asks about needle i / 2; head h scores about h / 60 on side `own`, noise on top.
ProbeSamples made_up(int64_t num_probes, double noise, uint64_t seed) {
  std::mt19937_64 random(seed);
  ProbeSamples samples;
  samples.num_heads = kHeads;
  for (int64_t i = 0; i < num_probes; ++i) {
    for (int64_t h = 0; h < kHeads; ++h) {
      const double uniform = static_cast<double>(random() >> 11) * 0x1.0p-53;
      samples.values.push_back(
          static_cast<float>(static_cast<double>(h) / kHeads + noise * (uniform - 0.5)));
    }
    samples.clusters.push_back("needle " + std::to_string(i / 2));
    samples.families.push_back(i / 2 % 2 == 0 ? "number" : "word");
  }
  return samples;
}

}  // namespace

TEST_CASE("two ways that order the heads alike agree, and reversed ones disagree", "[analysis]") {
  const ProbeSamples a = made_up(12, 0.0, kSeed);
  ProbeSamples b = a;
  PairedAgreement found = paired_agreement(a, b);
  CHECK(found.spearman == Approx(1.0));
  CHECK(found.low == Approx(1.0));
  CHECK(found.high == Approx(1.0));
  CHECK(found.top_jaccard == Approx(1.0));
  CHECK(found.num_pairs == 12);
  CHECK(found.num_clusters == 6);
  for (float& value : b.values) value = -value;
  found = paired_agreement(a, b);
  CHECK(found.spearman == Approx(-1.0));
  CHECK(found.top_jaccard == 0.0);
}

TEST_CASE("the interval of an agreement narrows with questions and holds the estimate",
          "[analysis]") {
  INFO("seed " << kSeed);
  const auto width = [](int64_t probes) {
    const PairedAgreement found =
        paired_agreement(made_up(probes, 2.0, kSeed), made_up(probes, 2.0, kSeed + 1));
    CHECK(found.low <= found.spearman);
    CHECK(found.spearman <= found.high);
    CHECK(found.spearman < 0.999);
    return found.high - found.low;
  };
  CHECK(width(200) < 0.5 * width(12));
}

TEST_CASE("a question that one way has no number for counts on neither side", "[analysis]") {
  const ProbeSamples a = made_up(8, 0.3, kSeed);
  ProbeSamples b = made_up(8, 0.3, kSeed + 1), hole = a;
  for (int64_t h = 0; h < kHeads; ++h) {
    hole.values[static_cast<size_t>(h)] = std::nanf("");  // probe 0
    // On the other side it would turn the order round.
    b.values[static_cast<size_t>(h)] = static_cast<float>(-100 * h);
  }
  const PairedAgreement found = paired_agreement(hole, b);
  CHECK(found.num_pairs == 7);
  CHECK(found.spearman > 0.9);
  CHECK(paired_agreement(a, b).spearman < 0.0);
}

TEST_CASE("without pairs nothing is said, with two questions no interval", "[analysis]") {
  ProbeSamples none = made_up(4, 0.3, kSeed);
  for (float& value : none.values) value = std::nanf("");
  CHECK(std::isnan(paired_agreement(none, none).spearman));
  CHECK(paired_agreement(none, none).num_pairs == 0);
  const PairedAgreement two = paired_agreement(made_up(4, 0.3, 1), made_up(4, 0.3, 2));
  CHECK(two.num_clusters == 2);
  CHECK_FALSE(std::isnan(two.spearman));
  CHECK(std::isnan(two.low));
  CHECK(std::isnan(two.high));
}

TEST_CASE("samples of different questions are not compared", "[analysis]") {
  const ProbeSamples a = made_up(4, 0.3, 1);
  ProbeSamples b = a;
  b.clusters[2] = "another";
  CHECK_THROWS_AS(paired_agreement(a, b), std::invalid_argument);
  CHECK_THROWS_AS(paired_agreement(a, made_up(6, 0.3, 1)), std::invalid_argument);
}

}  // namespace headscope::analysis
