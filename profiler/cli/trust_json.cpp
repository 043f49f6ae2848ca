#include <algorithm>
#include <cmath>
#include <set>

#include "analysis/agreement.h"
#include "analysis/bootstrap.h"
#include "analysis/head_ranking.h"
#include "analysis/query_group.h"
#include "analysis/rank_correlation.h"
#include "analysis/retrieval_verdict.h"
#include "analysis/stability.h"
#include "analysis/stop_rule.h"
#include "profiler/cli/trust_report.h"

namespace headscope::cli {
namespace {

constexpr double kTopFraction = 0.1;
// How many heads per layer a selector takes by default (CompressKV, 2508.02401).
constexpr int64_t kSelectedPerLayer = 4;

// What every part of the report reads.
struct Context {
  const HeadProfile& profile;
  uint64_t seed;
  analysis::FamilyMix mix;
  int64_t num_heads;
  int64_t top;  // heads in the top tenth

  Context(const HeadProfile& of, uint64_t with_seed)
      : profile(of),
        seed(with_seed),
        mix(analysis::family_mix_of(of.provenance)),
        num_heads(of.model.shape.num_layers * of.model.shape.num_query_heads),
        top(analysis::top_count(num_heads, kTopFraction)) {}

  [[nodiscard]] analysis::ProbeSamples samples(const ScoreTable& table) const {
    return analysis::probe_samples(profile.probes, table.samples, num_heads);
  }
  [[nodiscard]] std::string selecting_score() const { return analysis::selecting_score(profile); }
  [[nodiscard]] Json place(size_t head) const {
    const auto per_layer = static_cast<size_t>(profile.model.shape.num_query_heads);
    return Json::array({head / per_layer, head % per_layer});
  }
};

Json matrix_json(const analysis::SquareMatrix& matrix) {
  Json rows = Json::array();
  for (const std::vector<double>& row : matrix) {
    rows.push_back(Json::array());
    for (const double value : row) rows.back().push_back(number_json(value));
  }
  return rows;
}

Json families_json(const HeadProfile& profile) {
  std::map<std::string, std::set<std::string>> needles;
  std::map<std::string, std::pair<int64_t, int64_t>> counts;
  for (const ProbeRecord& probe : profile.probes) {
    needles[probe.family].insert(probe.needle_id);
    counts[probe.family].first += 1;
    counts[probe.family].second += probe.success ? 1 : 0;
  }
  Json families = Json::array();
  for (const auto& [name, count] : counts) {
    families.push_back({{"name", name},
                        {"num_probes", count.first},
                        {"num_successful", count.second},
                        {"num_needles", needles[name].size()}});
  }
  return families;
}

Json halves_json(const analysis::SplitHalf& halves) {
  return {{"split_half_spearman", number_json(halves.spearman)},
          {"split_half_top_jaccard", number_json(halves.top_jaccard)},
          {"repetition_spearman", number_json(halves.spearman_full)},
          {"repetition_top_jaccard", number_json(halves.top_jaccard_full)},
          {"num_probes", halves.num_probes},
          {"num_needles", halves.num_clusters}};
}

Json stability_json(const Context& context, const ScoreTable& table) {
  const analysis::StabilityOptions options{
      .top_fraction = kTopFraction, .seed = context.seed, .mix = context.mix};
  const analysis::ProbeSamples samples = context.samples(table);
  const analysis::SplitHalf all = analysis::split_half(samples, options);
  Json json = halves_json(all);
  json["families_left_out"] = all.left_out;
  json["by_num_probes"] = Json::array();
  for (const analysis::SplitHalf& point : analysis::stability_curve(samples, options)) {
    json["by_num_probes"].push_back({{"num_probes", point.num_probes},
                                     {"spearman", number_json(point.spearman)},
                                     {"top_jaccard", number_json(point.top_jaccard)}});
  }
  return json;
}

Json family_agreement_json(const Context& context, const ScoreTable& table) {
  const analysis::NamedScores means = analysis::family_means(context.samples(table));
  const analysis::Agreement agreement = analysis::agreement(means, context.top);
  const analysis::SelectionLoss loss = analysis::selection_loss(means, context.top);
  return {{"families", means.names},
          {"spearman", matrix_json(agreement.spearman)},
          {"top_jaccard", matrix_json(agreement.top_jaccard)},
          {"missed_heads", matrix_json(loss.heads)},
          {"missed_mass", matrix_json(loss.mass)}};
}

Json score_agreement_json(const Context& context) {
  analysis::NamedScores scores;
  for (const auto& [name, table] : context.profile.scores) {
    scores.names.push_back(name);
    scores.values.push_back(table.mean.values);
  }
  const analysis::Agreement agreement = analysis::agreement(scores, context.top);
  return {{"scores", scores.names},
          {"spearman", matrix_json(agreement.spearman)},
          {"top_jaccard", matrix_json(agreement.top_jaccard)}};
}

// [layer, head, mean, low, high] of the top tenth, best first. One needle has no interval.
Json intervals_json(const Context& context, const ScoreTable& table) {
  const analysis::HeadIntervals intervals =
      analysis::bootstrap_heads(context.samples(table), context.mix, {.seed = context.seed});
  const auto bound = [&](double value) {
    return intervals.num_clusters < 2 ? Json() : number_json(value);
  };
  Json heads = Json::array();
  for (const analysis::RankedHead& ranked : analysis::rank_heads(table.mean)) {
    if (static_cast<int64_t>(heads.size()) == context.top || std::isnan(ranked.score)) break;
    const auto at = static_cast<size_t>(
        ranked.head.layer * context.profile.model.shape.num_query_heads + ranked.head.head);
    heads.push_back(
        Json::array({ranked.head.layer, ranked.head.head, number_json(intervals.mean[at]),
                     bound(intervals.low[at]), bound(intervals.high[at])}));
  }
  return {{"confidence", analysis::BootstrapOptions{}.confidence},
          {"num_needles", intervals.num_clusters},
          {"heads", heads}};
}

Json kv_heads_json(const Context& context, const ScoreTable& table) {
  const HeadMatrix reduced = analysis::reduce_query_groups(
      table.mean, context.profile.model.shape.num_kv_heads, analysis::GroupReduction::kMax);
  Json heads = Json::array();
  for (const analysis::RankedHead& ranked : analysis::rank_heads(reduced)) {
    heads.push_back(Json::array({ranked.head.layer, ranked.head.head, number_json(ranked.score)}));
  }
  return {{"reduction", "max"}, {"heads", heads}};
}

// The heads that a selector would take, by the selecting score: the top four of every layer and the
// top tenth of all; with what else they look at.
Json selected_json(const Context& context, const analysis::RetrievalVerdict& verdict) {
  const std::string name = context.selecting_score();
  Json heads = Json::array();
  if (name.empty()) return {{"score", nullptr}, {"heads", heads}};
  const HeadMatrix& mean = context.profile.scores.at(name).mean;
  const auto share = [&](const char* of, const HeadId& head) {
    const auto table = context.profile.scores.find(of);
    return table == context.profile.scores.end()
               ? Json()
               : number_json(table->second.mean.at(head.layer, head.head));
  };
  std::set<HeadId> chosen;
  const auto per_layer = analysis::top_heads_per_layer(
      mean, std::min(kSelectedPerLayer, context.profile.model.shape.num_query_heads));
  for (size_t layer = 0; layer < per_layer.size(); ++layer) {
    for (const int64_t head : per_layer[layer]) chosen.insert({static_cast<int64_t>(layer), head});
  }
  int64_t rank = 0;
  for (const analysis::RankedHead& ranked : analysis::rank_heads(mean)) {
    if (std::isnan(ranked.score)) break;
    if (rank++ >= context.top && chosen.count(ranked.head) == 0) continue;
    const auto at = static_cast<size_t>(ranked.head.layer * mean.num_heads + ranked.head.head);
    heads.push_back({{"layer", ranked.head.layer},
                     {"head", ranked.head.head},
                     {"score", number_json(ranked.score)},
                     {"sink", share("sink", ranked.head)},
                     {"recency", share("recency", ranked.head)},
                     {"retrieves", verdict.judged ? Json(bool{verdict.retrieves[at]}) : Json()}});
  }
  return {{"score", name}, {"heads", heads}};
}

Json verdict_json(const analysis::RetrievalVerdict& verdict) {
  return {{"judged", verdict.judged},
          {"model_retrieves", verdict.judged ? Json(verdict.model_retrieves) : Json()},
          {"num_heads", verdict.num_heads},
          {"heads_per_layer", verdict.heads_per_layer},
          {"threshold", number_json(verdict.threshold)},
          {"has_controls", verdict.has_controls},
          {"control_level", number_json(verdict.control_level)},
          {"random_heads",
           {{"top_mean", number_json(verdict.random.top)},
            {"random_mean", number_json(verdict.random.random_mean)},
            {"random_high", number_json(verdict.random.random_high)}}},
          {"selector_fallback", verdict.selector_fallback},
          {"notes", verdict.notes}};
}

// Layers without a number under any score of answer steps that the profile holds samples of.
std::vector<int64_t> unscored_layers(const HeadProfile& profile) {
  std::vector<int64_t> layers;
  if (profile.num_successful() == 0) return layers;
  for (int64_t layer = 0; layer < profile.model.shape.num_layers; ++layer) {
    bool scored = false;
    for (const auto& [name, table] : profile.scores) {
      for (int64_t head = 0; head < table.mean.num_heads; ++head) {
        scored = scored || !std::isnan(table.mean.at(layer, head));
      }
    }
    if (!scored) layers.push_back(layer);
  }
  return layers;
}

// The lowest number off the diagonal; 1 where there is none.
double lowest_pair(const Json& matrix) {
  double lowest = 1.0;
  for (size_t row = 0; row < matrix.size(); ++row) {
    for (size_t column = 0; column < row; ++column) {
      if (!matrix[row][column].is_null()) {
        lowest = std::min(lowest, matrix[row][column].get<double>());
      }
    }
  }
  return lowest;
}

std::string two_digits(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", value);
  return text;
}

// Where a figure falls below these, the report says so.
constexpr int64_t kFewProbes = 48;
constexpr double kEnoughAnswered = 0.5;
constexpr double kStableOverlap = 0.9;
constexpr double kAgreeingFamilies = 0.75;

Json warnings_json(const Context& context, const Json& trust) {
  Json warnings = Json::array();
  const int64_t good = context.profile.num_successful();
  const auto all = static_cast<int64_t>(context.profile.probes.size());
  if (good < kFewProbes) {
    warnings.push_back("only " + std::to_string(good) +
                       " probes count: ranks below the first few "
                       "heads are rough");
  }
  if (static_cast<double>(good) < kEnoughAnswered * static_cast<double>(all)) {
    warnings.push_back("only " + std::to_string(good) + " of " + std::to_string(all) +
                       " probes were answered: the scores speak for the easy ones");
  }
  const auto distinct = trust["num_distinct_trials"].get<int64_t>();
  if (distinct < good) {
    warnings.push_back(std::to_string(good - distinct) +
                       " trials repeat another's numbers exactly: they add no evidence");
  }
  const std::string score = context.selecting_score();
  if (!score.empty()) {
    const Json& overlap = trust["stability"][score]["repetition_top_jaccard"];
    if (overlap.is_number() && overlap.get<double>() < kStableOverlap) {
      warnings.push_back("measured again, the top tenth of " + score + " would overlap by about " +
                         two_digits(overlap.get<double>()) + ": more probes would settle it");
    }
    const double families = lowest_pair(trust["family_agreement"][score]["top_jaccard"]);
    if (families < kAgreeingFamilies) {
      warnings.push_back("two families share only " + two_digits(families) +
                         " of their top heads by " + score +
                         ": the ranking is that of the mix, see family_agreement");
    }
  }
  if (!trust["unscored_layers"].empty()) {
    warnings.push_back(std::to_string(trust["unscored_layers"].size()) +
                       " layers have no score: their sliding window does not hold the context");
  }
  return warnings;
}

}  // namespace

Json number_json(double value) {
  return std::isnan(value) ? Json() : Json(value);
}

Json trust_json(const HeadProfile& profile, const profiler::ProbeAudit& audit, uint64_t seed) {
  const Context context(profile, seed);
  Json trust{{"num_probes", profile.probes.size()},
             {"num_successful", profile.num_successful()},
             {"num_distinct_trials", audit.num_distinct_trials},
             {"num_controls", profile.controls.probes.size()},
             {"families", families_json(profile)},
             {"mix", analysis::format_family_mix(context.mix)}};
  for (const char* part : {"stability", "family_agreement", "intervals", "kv_heads"}) {
    trust[part] = Json::object();
  }
  for (const auto& [name, table] : profile.scores) {
    trust["stability"][name] = stability_json(context, table);
    trust["family_agreement"][name] = family_agreement_json(context, table);
    trust["intervals"][name] = intervals_json(context, table);
    trust["kv_heads"][name] = kv_heads_json(context, table);
  }
  trust["score_agreement"] = score_agreement_json(context);
  analysis::VerdictOptions options;
  options.bootstrap.seed = seed;
  options.mix = context.mix;
  const analysis::RetrievalVerdict verdict = analysis::judge_retrieval(profile, options);
  trust["selected_heads"] = selected_json(context, verdict);
  trust["verdict"] = verdict_json(verdict);
  trust["until_stable"] = stop_json(profile);
  trust["unscored_layers"] = unscored_layers(profile);
  trust["warnings"] = warnings_json(context, trust);
  return trust;
}

}  // namespace headscope::cli
