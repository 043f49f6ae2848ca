#include "analysis/stop_rule.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>
#include <sstream>
#include <stdexcept>

#include "analysis/clustered_scores.h"
#include "analysis/rank_correlation.h"
#include "analysis/stability.h"
#include "outputs/input_error.h"

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

// A name and a place for every option but the seed and the mix, which profiles state elsewhere.
template <typename Options, typename Visit>
void for_each_number(Options& options, const Visit& visit) {
  visit("overlap", options.overlap);
  visit("confidence", options.confidence);
  visit("top_fraction", options.top_fraction);
  visit("min_probes", options.min_probes);
  visit("look_back", options.look_back);
  visit("num_splits", options.num_splits);
}

}  // namespace

StopDecision decide_stop(const ProbeSamples& samples, const StopOptions& options) {
  check(options);
  const int64_t k = top_count(samples.num_heads, options.top_fraction);
  const std::vector<double> now = mixed_mean(samples, options.mix);
  StopDecision decision;
  decision.top_heads = top_k(now, k);
  decision.expected_overlap = decision.overlap_with_past = kNaN;
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

StopDecision decide_stop(const HeadProfile& profile, const StopOptions& options) {
  const ModelShape& shape = profile.model.shape;
  const int64_t heads = shape.num_layers * shape.num_query_heads;
  const std::string score = selecting_score(profile);
  StopDecision decision = decide_stop(
      score.empty() ? probe_samples({}, {}, heads)
                    : probe_samples(profile.probes, profile.scores.at(score).samples, heads),
      options);
  decision.score = score;
  return decision;
}

std::string selecting_score(const HeadProfile& profile) {
  if (profile.scores.empty()) return "";
  return profile.scores.count("srh") > 0 ? "srh" : profile.scores.begin()->first;
}

void describe_stop(const StopOptions& options, Provenance& provenance) {
  for_each_number(options, [&](const char* name, auto value) {
    std::ostringstream text;
    text << value;
    provenance.options[std::string(kStopOptionPrefix) + name] = text.str();
  });
}

std::optional<StopOptions> stop_options_of(const Provenance& provenance) {
  StopOptions options;
  options.seed = provenance.seed;
  options.mix = family_mix_of(provenance);
  bool told = false;
  for_each_number(options, [&](const char* name, auto& value) {
    const auto option = provenance.options.find(std::string(kStopOptionPrefix) + name);
    if (option == provenance.options.end()) return;
    told = true;
    const std::string& text = option->second;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) {
      throw InputError("provenance: " + option->first, "a number", "\"" + text + "\"");
    }
  });
  return told ? std::optional(options) : std::nullopt;
}

}  // namespace headscope::analysis
