#include "analysis/retrieval_verdict.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <stdexcept>

#include "analysis/clustered_scores.h"
#include "analysis/rank_correlation.h"
#include "analysis/seeded_shuffle.h"

namespace headscope::analysis {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
// Below this an interval over needles is hardly one.
constexpr int64_t kFewNeedles = 8;

double mean_over(const std::vector<double>& values, const std::vector<size_t>& places) {
  double sum = 0.0;
  for (const size_t place : places) sum += values[place];
  return sum / static_cast<double>(places.size());
}

// As many other heads of the same layers, of those that have a number; fewer where a layer has not
// so many others. `heads` ascend.
std::vector<size_t> random_twins(const std::vector<size_t>& heads,
                                 const std::vector<double>& scores,
                                 size_t heads_per_layer,
                                 std::mt19937_64& random) {
  std::vector<size_t> twins;
  for (size_t begin = 0; begin < heads.size();) {
    const size_t layer = heads[begin] / heads_per_layer;
    size_t end = begin;
    while (end < heads.size() && heads[end] / heads_per_layer == layer) ++end;
    std::vector<size_t> candidates;
    for (size_t h = layer * heads_per_layer; h < (layer + 1) * heads_per_layer; ++h) {
      const bool chosen = std::binary_search(heads.begin(), heads.end(), h);
      if (!chosen && !std::isnan(scores[h])) candidates.push_back(h);
    }
    seeded_shuffle(candidates, random);
    candidates.resize(std::min(candidates.size(), end - begin));
    twins.insert(twins.end(), candidates.begin(), candidates.end());
    begin = end;
  }
  return twins;
}

RandomHeadControl random_head_control(const ProbeSamples& samples,
                                      size_t heads_per_layer,
                                      const VerdictOptions& options) {
  const ClusteredScores scores(samples, options.mix);
  const int64_t k = top_count(samples.num_heads, options.top_fraction);
  std::mt19937_64 random(options.bootstrap.seed);
  std::vector<double> drawn;
  double top_sum = 0.0;
  for (int64_t split = 0; split < options.num_splits; ++split) {
    ClusterDraw halves[2];
    for (std::vector<size_t>& order : scores.all()) {
      if (order.size() < 2) order.clear();
      seeded_shuffle(order, random);
      const auto middle = order.begin() + static_cast<std::ptrdiff_t>(order.size() / 2);
      halves[0].emplace_back(order.begin(), middle);
      halves[1].emplace_back(middle, order.end());
    }
    const std::vector<size_t> top = top_k(scores.mean(halves[0]), k);
    const std::vector<double> other = scores.mean(halves[1]);
    if (top.empty()) return {kNaN, kNaN, kNaN};
    top_sum += mean_over(other, top);
    for (int64_t draw = 0; draw < options.num_draws; ++draw) {
      const std::vector<size_t> twins = random_twins(top, other, heads_per_layer, random);
      if (!twins.empty()) drawn.push_back(mean_over(other, twins));
    }
  }
  if (drawn.empty()) return {kNaN, kNaN, kNaN};
  double sum = 0.0;
  for (const double value : drawn) sum += value;
  std::sort(drawn.begin(), drawn.end());
  return {top_sum / static_cast<double>(options.num_splits),
          sum / static_cast<double>(drawn.size()), quantile(drawn, options.control_quantile)};
}

// The quantile over the heads that have a number; NaN where none has.
double level_of(std::vector<double> means, double at) {
  means.erase(std::remove_if(means.begin(), means.end(), [](double x) { return std::isnan(x); }),
              means.end());
  std::sort(means.begin(), means.end());
  return means.empty() ? kNaN : quantile(means, at);
}

// Fills what follows from which heads retrieve.
void count_layers(RetrievalVerdict& verdict,
                  const std::vector<double>& means,
                  int64_t num_layers,
                  size_t heads_per_layer) {
  for (int64_t layer = 0; layer < num_layers; ++layer) {
    const size_t first = static_cast<size_t>(layer) * heads_per_layer;
    int64_t retrieving = 0;
    bool scored = false;
    for (size_t h = first; h < first + heads_per_layer; ++h) {
      retrieving += verdict.retrieves[h] ? 1 : 0;
      scored = scored || !std::isnan(means[h]);
    }
    verdict.heads_per_layer.push_back(retrieving);
    verdict.num_heads += retrieving;
    if (retrieving == 0) verdict.selector_fallback.push_back(layer);
    if (!scored) verdict.unscored_layers.push_back(layer);
  }
}

void check(const ProbeSamples& samples,
           const ProbeSamples& controls,
           int64_t num_layers,
           const VerdictOptions& options) {
  if (num_layers < 1 || samples.num_heads % num_layers != 0 ||
      (controls.num_probes() > 0 && controls.num_heads != samples.num_heads)) {
    throw std::invalid_argument("judge_retrieval: expected heads of whole layers, the same twice");
  }
  if (options.num_splits < 1 || options.num_draws < 1 ||
      !(options.control_quantile > 0.0 && options.control_quantile < 1.0)) {
    throw std::invalid_argument("judge_retrieval: option out of range");
  }
}

}  // namespace

RetrievalVerdict judge_retrieval(const ProbeSamples& samples,
                                 const ProbeSamples& controls,
                                 int64_t num_layers,
                                 const VerdictOptions& options) {
  check(samples, controls, num_layers, options);
  const auto heads = static_cast<size_t>(samples.num_heads);
  const size_t heads_per_layer = heads / static_cast<size_t>(num_layers);
  const HeadIntervals intervals = bootstrap_heads(samples, options.mix, options.bootstrap);
  RetrievalVerdict verdict;
  verdict.retrieves.assign(heads, false);
  verdict.control_level = kNaN;
  verdict.threshold = options.floor;
  verdict.random = {kNaN, kNaN, kNaN};
  if (intervals.num_clusters < 2) {
    verdict.notes.emplace_back("fewer than two needles were answered: nothing can be said");
    return verdict;
  }
  verdict.judged = true;
  std::vector<double> own_control(heads, kNaN);
  if (controls.num_probes() > 0) {
    own_control = mixed_mean(controls, {});
    verdict.control_level = level_of(own_control, options.control_quantile);
  }
  verdict.has_controls = !std::isnan(verdict.control_level);
  if (verdict.has_controls) {
    verdict.threshold = std::max(options.floor, verdict.control_level);
  } else {
    verdict.notes.emplace_back(
        "no probe without its needle: heads are compared with the floor and with random heads "
        "only");
  }
  for (size_t head = 0; head < heads; ++head) {
    // Comparisons with NaN are false: a head without a number does not retrieve, one without a
    // control of its own is held to the threshold alone.
    verdict.retrieves[head] =
        intervals.low[head] > verdict.threshold && !(intervals.low[head] <= own_control[head]);
  }
  count_layers(verdict, intervals.mean, num_layers, heads_per_layer);
  verdict.random = random_head_control(samples, heads_per_layer, options);
  if (std::isnan(verdict.random.top)) {
    verdict.notes.emplace_back(
        "no family has two needles, or no layer two heads: there are no random heads to compare "
        "with");
  } else if (!verdict.random.passed()) {
    verdict.notes.emplace_back(
        "the top heads of one half of the needles are no better on the other half than random "
        "heads "
        "of their layers");
  }
  if (intervals.num_clusters < kFewNeedles) {
    verdict.notes.push_back("only " + std::to_string(intervals.num_clusters) +
                            " needles: their intervals are rough");
  }
  verdict.model_retrieves =
      verdict.num_heads > 0 && (std::isnan(verdict.random.top) || verdict.random.passed());
  if (!verdict.model_retrieves) {
    verdict.selector_fallback.resize(static_cast<size_t>(num_layers));
    std::iota(verdict.selector_fallback.begin(), verdict.selector_fallback.end(), int64_t{0});
  }
  return verdict;
}

RetrievalVerdict judge_retrieval(const HeadProfile& profile, const VerdictOptions& options) {
  const ModelShape& shape = profile.model.shape;
  const auto table = profile.scores.find("srh");
  const int64_t heads = shape.num_layers * shape.num_query_heads;
  const bool scored = table != profile.scores.end();
  const auto control = profile.controls.scores.find("srh");
  const ProbeSamples samples = scored ? probe_samples(profile.probes, table->second.samples, heads)
                                      : probe_samples({}, {}, heads);
  const ProbeSamples controls =
      control == profile.controls.scores.end()
          ? probe_samples({}, {}, heads)
          : probe_samples(profile.controls.probes, control->second.samples, heads);
  RetrievalVerdict verdict = judge_retrieval(samples, controls, shape.num_layers, options);
  if (!scored) {
    verdict.notes = {"the profile does not hold srh, by which heads are judged"};
  }
  return verdict;
}

}  // namespace headscope::analysis
