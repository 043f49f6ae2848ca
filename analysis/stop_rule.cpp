#include "analysis/stop_rule.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>
#include <stdexcept>

#include "analysis/clustered_scores.h"
#include "analysis/rank_correlation.h"
#include "analysis/stability.h"

namespace headscope::analysis {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

ProbeSamples without_last(const ProbeSamples& samples, int64_t count) {
  const auto kept = static_cast<size_t>(std::max<int64_t>(0, samples.num_probes() - count));
  ProbeSamples past = samples;
  past.values.resize(kept * static_cast<size_t>(samples.num_heads));
  if (!past.clusters.empty()) past.clusters.resize(kept);
  if (!past.families.empty()) past.families.resize(kept);
  return past;
}

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.0f %%", 100.0 * share);
  return text;
}

std::string decimal(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", value);
  return text;
}

std::string explain(const StopDecision& decision, const StopOptions& options) {
  const std::string after = "after " + std::to_string(decision.num_probes) + " probes ";
  if (decision.num_probes < options.min_probes) {
    return after + "it is too early: at least " + std::to_string(options.min_probes) +
           " must count";
  }
  if (std::isnan(decision.expected_overlap)) {
    return after + "no family has two needles to compare";
  }
  const std::string sure = "a repetition would find the same top heads (overlap " +
                           decimal(options.overlap) + " or more) in " +
                           percent(decision.confidence) + " of the cases, expected overlap " +
                           decimal(decision.expected_overlap);
  if (std::isnan(decision.overlap_with_past) || decision.overlap_with_past >= options.overlap) {
    return after + sure;
  }
  return after + sure + ", but the set still moves: overlap " +
         decimal(decision.overlap_with_past) + " with that of " +
         std::to_string(options.look_back) + " probes ago";
}

void check(const StopOptions& options) {
  const auto is_share = [](double x) { return x > 0.0 && x <= 1.0; };
  if (!is_share(options.overlap) || !is_share(options.confidence) || options.min_probes < 1 ||
      options.look_back < 1) {
    throw std::invalid_argument("stop rule: option out of range");
  }
}

}  // namespace

StopDecision decide_stop(const ProbeSamples& samples, const StopOptions& options) {
  check(options);
  const int64_t k = top_count(samples.num_heads, options.top_fraction);
  const std::vector<double> now = mixed_mean(samples, options.mix);
  StopDecision decision{false, top_k(now, k), 0, kNaN, 0.0, kNaN, ""};
  decision.num_probes = ClusteredScores(samples, options.mix).num_probes();

  std::vector<double> overlaps =
      half_overlaps(samples, {options.num_splits, options.top_fraction, options.seed, options.mix});
  if (!overlaps.empty()) {
    std::transform(overlaps.begin(), overlaps.end(), overlaps.begin(), overlap_of_repetition);
    const auto count = static_cast<double>(overlaps.size());
    decision.expected_overlap = std::accumulate(overlaps.begin(), overlaps.end(), 0.0) / count;
    decision.confidence = static_cast<double>(std::count_if(
                              overlaps.begin(), overlaps.end(),
                              [&](double overlap) { return overlap >= options.overlap; })) /
                          count;
  }
  const ProbeSamples past = without_last(samples, options.look_back);
  if (past.num_probes() > 0) {
    decision.overlap_with_past = top_k_jaccard(now, mixed_mean(past, options.mix), k);
  }
  decision.stop = decision.num_probes >= options.min_probes &&
                  decision.confidence >= options.confidence &&
                  decision.overlap_with_past >= options.overlap;
  decision.reason = explain(decision, options);
  return decision;
}

}  // namespace headscope::analysis
