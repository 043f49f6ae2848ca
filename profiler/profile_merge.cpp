#include "profiler/profile_merge.h"

#include <cmath>
#include <utility>

#include "analysis/stop_rule.h"
#include "outputs/input_error.h"
#include "outputs/model_match.h"
#include "profiler/trial_table.h"

namespace headscope::profiler {
namespace {

// What two runs must share for their trials to be samples of one thing (ProfileOptions).
constexpr const char* kOptionsThatBear[] = {"srh_span", "success_threshold", "max_answer_tokens",
                                            "extra_answer_tokens", "mode"};
constexpr float kRounding = 1e-4F;  // of a sample, between machines and thread counts

using Table = std::pair<std::vector<ProbeRecord>, std::map<std::string, ScoreTable>>;

std::string key_of(const ProbeRecord& probe) {
  std::string key = probe.prompt_hash;
  for (const auto* spans : {&probe.needle_spans, &probe.answer_spans}) {
    key += '|';
    for (const TokenSpan& span : *spans) {
      key += std::to_string(span.begin) + '-' + std::to_string(span.end) + ' ';
    }
  }
  return key + '|' + probe.answer;
}

std::string option_of(const HeadProfile& profile, const std::string& name) {
  const auto found = profile.provenance.options.find(name);
  return found == profile.provenance.options.end() ? "not told" : found->second;
}

std::string score_names(const HeadProfile& profile) {
  std::string names;
  for (const auto& [name, unused] : profile.scores) names += (names.empty() ? "" : ",") + name;
  return names;
}

void check_mergeable(const NamedProfile& first, const NamedProfile& other) {
  outputs::check_model_match("profile " + other.name, other.profile.model, first.profile.model,
                             /*force=*/false);
  const auto same = [&](const std::string& what, const std::string& a, const std::string& b) {
    if (a == b) return;
    throw InputError(other.name + ": " + what, a + " as in " + first.name, b,
                     "Only trials of the same experiment can be put together.");
  };
  same("scores", score_names(first.profile), score_names(other.profile));
  same("dtype", first.profile.provenance.dtype, other.profile.provenance.dtype);
  for (const char* name : kOptionsThatBear) {
    same(name, option_of(first.profile, name), option_of(other.profile, name));
  }
}

// Probes and samples of one kind (probes, or controls), put together profile by profile.
class Union {
 public:
  Union(std::vector<ProbeRecord>& probes,
        std::map<std::string, ScoreTable>& scores,
        const ModelShape& shape)
      : probes_(probes),
        scores_(scores),
        shape_(shape),
        heads_(static_cast<size_t>(shape.num_layers * shape.num_query_heads)) {}

  void add(const std::string& name,
           const std::vector<ProbeRecord>& probes,
           const std::map<std::string, ScoreTable>& scores) {
    for (size_t i = 0; i < probes.size(); ++i) {
      const auto [place, is_new] = places_.emplace(key_of(probes[i]), probes_.size());
      if (!is_new) {
        check_same_result(name, probes[i], i, scores, place->second);
        ++num_overlapping_;
        continue;
      }
      from_.push_back(name + ": probe " + std::to_string(probes[i].id));
      probes_.push_back(probes[i]);
      for (const auto& [score, table] : scores) {
        const float* row = table.samples.data() + i * heads_;
        auto& samples = scores_[score].samples;
        samples.insert(samples.end(), row, row + heads_);
      }
    }
  }

  // Ids from `first_id` on, and means. Returns the number of overlapping trials.
  int64_t finish(int64_t first_id, const analysis::FamilyMix& mix) {
    for (ProbeRecord& probe : probes_) probe.id = first_id++;
    for (auto& [name, table] : scores_)
      table.mean = mean_over_probes(probes_, table.samples, shape_, mix);
    return num_overlapping_;
  }

 private:
  void check_same_result(const std::string& name,
                         const ProbeRecord& probe,
                         size_t index,
                         const std::map<std::string, ScoreTable>& scores,
                         size_t place) const {
    const auto refuse = [&](const std::string& expected, const std::string& found) {
      throw InputError(name + ": probe " + std::to_string(probe.id),
                       expected + " of the same trial in " + from_[place], found,
                       "One of the two files is not what its model measures; measure again.");
    };
    const ProbeRecord& known = probes_[place];
    if (probe.response != known.response || probe.success != known.success) {
      refuse("the response \"" + known.response + "\"", "\"" + probe.response + "\"");
    }
    for (const auto& [score, table] : scores) {
      const float* a = scores_.at(score).samples.data() + place * heads_;
      const float* b = table.samples.data() + index * heads_;
      for (size_t head = 0; head < heads_; ++head) {
        if (std::isnan(a[head]) && std::isnan(b[head])) continue;
        if (std::abs(a[head] - b[head]) <= kRounding * std::max(1.0F, std::abs(a[head]))) continue;
        refuse(score + " " + std::to_string(a[head]) + " of head " + std::to_string(head),
               std::to_string(b[head]));
      }
    }
  }

  std::vector<ProbeRecord>& probes_;
  std::map<std::string, ScoreTable>& scores_;
  const ModelShape& shape_;
  size_t heads_;
  std::map<std::string, size_t> places_;
  std::vector<std::string> from_;  // per probe, for messages
  int64_t num_overlapping_ = 0;
};

bool same_curves(const ErrorCurves& a, const ErrorCurves& b) {
  return a.budgets == b.budgets && a.tasks == b.tasks && a.layer == b.layer &&
         a.kv_head == b.kv_head;
}

void add_curves(HeadProfile& merged, const NamedProfile& from) {
  for (const auto& [selector, curves] : from.profile.error_curves) {
    const auto [place, is_new] = merged.error_curves.emplace(selector, curves);
    if (!is_new && !same_curves(place->second, curves)) {
      throw InputError(from.name + ": error_curves/" + selector,
                       "the curves that an earlier profile has", "others",
                       "Calibrate the merged profile instead.");
    }
  }
}

Provenance common_provenance(const std::vector<NamedProfile>& profiles) {
  Provenance common = profiles.front().profile.provenance;
  common.seconds = 0.0;
  std::string names;
  for (const NamedProfile& each : profiles) {
    common.seconds += each.profile.provenance.seconds;
    names += (names.empty() ? "" : ",") + each.name;
    std::erase_if(common.options, [&](const auto& option) {
      // Until a rule stopped: true of each in its own order of probes, not of all of them.
      return option_of(each.profile, option.first) != option.second ||
             option.first.rfind(analysis::kStopOptionPrefix, 0) == 0;
    });
  }
  common.options["merged"] = names;
  return common;
}

}  // namespace

MergeOutcome merge_profiles(const std::vector<NamedProfile>& profiles) {
  if (profiles.empty()) throw InputError("merge", "at least one profile", "none");
  MergeOutcome outcome;
  HeadProfile& merged = outcome.profile;
  merged.model = profiles.front().profile.model;
  Union probes(merged.probes, merged.scores, merged.model.shape);
  Union controls(merged.controls.probes, merged.controls.scores, merged.model.shape);
  for (const auto& [name, unused] : profiles.front().profile.scores) merged.scores[name];
  for (const NamedProfile& each : profiles) {
    check_mergeable(profiles.front(), each);
    probes.add(each.name, each.profile.probes, each.profile.scores);
    controls.add(each.name, each.profile.controls.probes, each.profile.controls.scores);
    add_curves(merged, each);
  }
  merged.provenance = common_provenance(profiles);
  outcome.num_overlapping = probes.finish(0, analysis::family_mix_of(merged.provenance));
  outcome.num_overlapping += controls.finish(static_cast<int64_t>(merged.probes.size()), {});
  return outcome;
}

}  // namespace headscope::profiler
