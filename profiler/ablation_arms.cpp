#include "profiler/ablation_arms.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <random>

#include "analysis/head_ranking.h"
#include "analysis/seeded_shuffle.h"
#include "outputs/input_error.h"
#include "profiler/option_check.h"

namespace headscope::profiler {
namespace {

// The candidate nearest to `layer`, the first of equals; `candidates` is not empty.
size_t nearest(const std::vector<HeadId>& candidates, int64_t layer) {
  const auto distance = [layer](const HeadId& head) { return std::abs(head.layer - layer); };
  const auto found =
      std::min_element(candidates.begin(), candidates.end(),
                       [&](const HeadId& a, const HeadId& b) { return distance(a) < distance(b); });
  return static_cast<size_t>(found - candidates.begin());
}

// For every head of `top` the earliest candidate of its layer, or, once a layer has none left, of
// the nearest layer that has. Layers with enough of their own are served first.
std::vector<HeadId> match_layers(const std::vector<HeadId>& top, std::vector<HeadId> candidates) {
  std::vector<HeadId> matched;
  std::vector<int64_t> unserved;
  const auto take = [&](size_t index) {
    matched.push_back(candidates[index]);
    candidates.erase(candidates.begin() + static_cast<std::ptrdiff_t>(index));
  };
  for (const HeadId& head : top) {
    const size_t index = candidates.empty() ? 0 : nearest(candidates, head.layer);
    if (index < candidates.size() && candidates[index].layer == head.layer) {
      take(index);
    } else {
      unserved.push_back(head.layer);
    }
  }
  for (const int64_t layer : unserved) take(nearest(candidates, layer));
  std::sort(matched.begin(), matched.end());
  return matched;
}

}  // namespace

std::vector<AblationArm> choose_arms(
    const std::string& score, const HeadMatrix& scores, int64_t top, int64_t draws, uint64_t seed) {
  std::vector<HeadId> ranked;
  for (const analysis::RankedHead& head : analysis::rank_heads(scores)) {
    if (!std::isnan(head.score)) ranked.push_back(head.head);
  }
  // As many heads again must be left for a control.
  check_range("top (score " + score + ", " + std::to_string(ranked.size()) + " heads have one)",
              top, 1, static_cast<int64_t>(ranked.size()) / 2);
  check_range("draws", draws, 0, 1000);
  const auto end_of_top = ranked.begin() + static_cast<std::ptrdiff_t>(top);
  std::vector<HeadId> best(ranked.begin(), end_of_top);
  std::vector<HeadId> others(end_of_top, ranked.end());
  std::sort(best.begin(), best.end());

  std::vector<AblationArm> arms{{"top", score, best}};
  std::mt19937_64 random(seed);
  for (int64_t draw = 1; draw <= draws; ++draw) {
    std::vector<HeadId> candidates = others;
    analysis::seeded_shuffle(candidates, random);
    arms.push_back({"random-" + std::to_string(draw), score, match_layers(best, candidates)});
  }
  std::reverse(others.begin(), others.end());
  arms.push_back({"bottom", score, match_layers(best, others)});
  return arms;
}

bool is_layer_matched(const AblationArm& control, const AblationArm& top) {
  std::map<int64_t, int64_t> difference;
  for (const HeadId& head : control.heads) ++difference[head.layer];
  for (const HeadId& head : top.heads) --difference[head.layer];
  return std::all_of(difference.begin(), difference.end(),
                     [](const auto& layer) { return layer.second == 0; });
}

}  // namespace headscope::profiler
