#include "profiler/key_selector.h"

#include <algorithm>
#include <cmath>

#include "analysis/head_ranking.h"
#include "outputs/input_error.h"
#include "profiler/option_check.h"

namespace headscope::profiler {
namespace {

constexpr const char* kWindow = "window";
constexpr const char* kPerHead = "-head";

bool is_per_head(const std::string& wanted) {
  return wanted.ends_with(kPerHead) && wanted != kPerHead;
}

std::string score_of(const std::string& wanted) {
  return is_per_head(wanted) ? wanted.substr(0, wanted.rfind('-')) : wanted;
}

const HeadMatrix& scores_of(const HeadProfile& profile, const std::string& score) {
  const auto table = profile.scores.find(score);
  if (table == profile.scores.end()) {
    std::vector<std::string> names;
    for (const auto& entry : profile.scores) names.push_back(entry.first);
    throw InputError("profile", "the score " + score, "only " + join_values(names),
                     "Measure it with headscope profile --scores.");
  }
  const HeadMatrix& mean = table->second.mean;
  if (std::all_of(mean.values.begin(), mean.values.end(),
                  [](double value) { return std::isnan(value); })) {
    throw InputError("profile", "successful probes, to tell which heads select", "none",
                     "Use shorter contexts or needles with an answer prefix.");
  }
  return mean;
}

// The query heads of each group, in the order of `ranked`, at most `count` of them.
std::vector<std::vector<int64_t>> by_group(const std::vector<int64_t>& ranked,
                                           const ModelShape& shape,
                                           int64_t count) {
  std::vector<std::vector<int64_t>> groups(static_cast<size_t>(shape.num_kv_heads));
  for (const int64_t head : ranked) {
    auto& group = groups[static_cast<size_t>(head / shape.query_group_size())];
    if (static_cast<int64_t>(group.size()) < count) group.push_back(head);
  }
  return groups;
}

}  // namespace

std::vector<std::vector<int64_t>> KeySelector::plan_heads() const {
  std::vector<std::vector<int64_t>> heads;
  if (runtime_method != "compresskv") return heads;
  for (const auto& rankings : judges) heads.push_back(rankings.at(0));
  return heads;
}

std::string key_selector_name(const std::string& wanted, const KeySelectorOptions& options) {
  if (wanted == kWindow) return wanted;
  return wanted + std::to_string(is_per_head(wanted) ? options.group_heads : options.layer_heads);
}

KeySelector make_key_selector(const std::string& wanted,
                              const HeadProfile& profile,
                              const KeySelectorOptions& options) {
  const ModelShape& shape = profile.model.shape;
  check_range("selector heads", options.layer_heads, 1, shape.num_query_heads);
  check_range("selector heads of a group", options.group_heads, 1, shape.query_group_size());
  KeySelector selector{key_selector_name(wanted, options), {}, {}};
  if (wanted == kWindow) {
    std::vector<int64_t> all(static_cast<size_t>(shape.num_query_heads));
    for (size_t head = 0; head < all.size(); ++head) all[head] = static_cast<int64_t>(head);
    selector.runtime_method = "snapkv";
    selector.judges.assign(static_cast<size_t>(shape.num_layers),
                           by_group(all, shape, shape.query_group_size()));
    return selector;
  }
  const HeadMatrix& scores = scores_of(profile, score_of(wanted));
  if (is_per_head(wanted)) {
    for (const std::vector<int64_t>& ranked : analysis::rank_heads_per_layer(scores)) {
      selector.judges.push_back(by_group(ranked, shape, options.group_heads));
    }
  } else {
    selector.runtime_method = "compresskv";
    for (auto& heads : analysis::top_heads_per_layer(scores, options.layer_heads)) {
      selector.judges.push_back({std::move(heads)});
    }
  }
  return selector;
}

}  // namespace headscope::profiler
