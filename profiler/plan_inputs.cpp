#include "profiler/plan_inputs.h"

#include <algorithm>

#include "analysis/curve_statistics.h"
#include "analysis/head_ranking.h"
#include "analysis/retrieval_verdict.h"
#include "analysis/selector_heads.h"
#include "outputs/input_error.h"
#include "profiler/option_check.h"

namespace headscope::profiler {
namespace {

constexpr const char* kUnweighted =
    "errors of all layers count the same: what a layer's error does to the answer was not measured "
    "(headscope calibrate --kl-budgets)";

std::string profile_place(const HeadProfile& profile) {
  return "the profile of " + profile.model.name;
}

const ErrorCurves& pick_curves(const HeadProfile& profile, const std::string& wanted) {
  if (profile.error_curves.empty()) {
    throw InputError(profile_place(profile), "eviction-error curves, which this method needs",
                     "none", "Run headscope calibrate on this profile first.");
  }
  if (wanted.empty() && profile.error_curves.size() == 1)
    return profile.error_curves.begin()->second;
  const auto found = profile.error_curves.find(wanted);
  if (found != profile.error_curves.end()) return found->second;
  std::string names;
  for (const auto& [name, unused] : profile.error_curves)
    names += (names.empty() ? "" : ", ") + name;
  throw InputError("error curves of " + profile_place(profile), "one of " + names,
                   wanted.empty() ? "no choice" : wanted, "Name the selector whose curves to use.");
}

// InputError naming all of them that are missing.
void check_has_scores(const HeadProfile& profile, const std::vector<std::string>& names) {
  std::string missing;
  for (const std::string& name : names) {
    if (profile.scores.count(name) == 0) missing += (missing.empty() ? "" : ",") + name;
  }
  if (!missing.empty()) {
    throw InputError(
        profile_place(profile), "the score " + missing, "no such score",
        "Measure it with headscope profile --scores " + missing + ", or name another.");
  }
}

const HeadMatrix& pick_score(const HeadProfile& profile, const std::string& name) {
  check_has_scores(profile, {name});
  return profile.scores.at(name).mean;
}

std::vector<double> widened(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

Selectors sure_heads(const HeadProfile& profile, const MethodOptions& options) {
  analysis::HeadSamples samples;
  samples.num_layers = profile.model.shape.num_layers;
  samples.num_query_heads = profile.model.shape.num_query_heads;
  samples.values = profile.scores.at(options.score).samples;
  for (const ProbeRecord& probe : profile.probes) samples.clusters.push_back(probe.needle_id);
  analysis::SelectorOptions asked;
  asked.threshold = *options.selector_threshold;
  analysis::SelectorHeads chosen = analysis::heads_above(samples, asked);
  return {std::move(chosen.heads), std::move(chosen.notes)};
}

// With a ranking per KV head `count` heads per layer are no longer enough to go round: every group
// gets its share of them, at least one, its best by the score. Best first over the layer.
std::vector<std::vector<int64_t>> best_of_groups(const HeadMatrix& mean,
                                                 const ModelShape& shape,
                                                 int64_t count) {
  const int64_t per_group =
      std::clamp<int64_t>(count / shape.num_kv_heads, 1, shape.query_group_size());
  std::vector<std::vector<int64_t>> layers;
  for (const std::vector<int64_t>& ranked : analysis::rank_heads_per_layer(mean)) {
    std::vector<int64_t> taken(static_cast<size_t>(shape.num_kv_heads), 0);
    std::vector<int64_t>& chosen = layers.emplace_back();
    for (const int64_t head : ranked) {
      int64_t& of_group = taken[static_cast<size_t>(head / shape.query_group_size())];
      if (of_group < per_group) chosen.push_back(head);
      ++of_group;
    }
  }
  return layers;
}

// Layers in which no head is known to retrieve choose by all of their heads.
void fall_back(const HeadProfile& profile, const HeadMatrix& mean, Selectors& chosen) {
  analysis::VerdictOptions options;
  options.mix = analysis::family_mix_of(profile.provenance);
  const analysis::RetrievalVerdict verdict = analysis::judge_retrieval(profile, options);
  if (verdict.selector_fallback.empty()) return;
  const auto all = analysis::rank_heads_per_layer(mean);
  for (const int64_t layer : verdict.selector_fallback) {
    chosen.heads[static_cast<size_t>(layer)] = all[static_cast<size_t>(layer)];
  }
  const std::string layers = "layers " + join_values(verdict.selector_fallback);
  chosen.notes.push_back(verdict.model_retrieves
                             ? "no head is known to retrieve in " + layers +
                                   ": all of their heads choose the keys"
                             : "the model is not known to have retrieval heads: all heads of " +
                                   layers + " choose the keys");
  chosen.notes.back() += " (--no-fallback keeps the best few, as published)";
}

}  // namespace

std::vector<std::string> add_measurements(const HeadProfile& profile,
                                          const analysis::AllocatorNeeds& needs,
                                          const MethodOptions& options,
                                          analysis::AllocatorInput& input) {
  std::vector<std::string> notes;
  if (needs.layer_error) {
    analysis::LayerError error =
        analysis::layer_error(pick_curves(profile, options.curves), profile.model.shape.num_layers,
                              {.budget = options.error_budget, .steps = options.error_steps});
    input.layer_error = std::move(error.values);
    notes = std::move(error.notes);
  }
  if (needs.curves) {
    const ErrorCurves& curves = pick_curves(profile, options.curves);
    input.curves.budgets = curves.budgets;
    input.curves.error = widened(curves.kv_head);
    input.curves.squared_error = widened(curves.kv_head_squared);
    input.layer_weights = analysis::layer_sensitivity(curves, profile.model.shape.num_layers);
    if (input.layer_weights.empty()) {
      notes.emplace_back(kUnweighted);
    }
  }
  if (needs.head_scores) {
    input.head_scores =
        pick_score(profile, options.head_score.empty() ? options.score : options.head_score);
  }
  if (needs.copy_scores) {
    check_has_scores(profile, {"induction", "echo"});
    input.induction = pick_score(profile, "induction");
    input.echo = pick_score(profile, "echo");
  }
  return notes;
}

Selectors pick_selectors(const HeadProfile& profile, const MethodOptions& options) {
  const HeadMatrix& mean = pick_score(profile, options.score);
  if (profile.num_successful() == 0) {
    throw InputError(profile_place(profile),
                     "successful probes, to tell retrieval heads from others",
                     "none of " + std::to_string(profile.probes.size()),
                     "Use shorter contexts or needles with an answer prefix.");
  }
  if (options.selector_threshold) return sure_heads(profile, options);
  const ModelShape& shape = profile.model.shape;
  Selectors chosen;
  if (options.selection.index_sets == IndexSets::kKvHead) {
    chosen.heads = best_of_groups(mean, shape, options.selector_heads);
  } else {
    chosen.heads = analysis::top_heads_per_layer(
        mean, std::min(options.selector_heads, shape.num_query_heads));
  }
  if (options.fallback) fall_back(profile, mean, chosen);
  return chosen;
}

}  // namespace headscope::profiler
