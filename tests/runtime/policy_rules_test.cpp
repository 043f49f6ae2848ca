// Every policy that judges by attention, against a statement of its rule in a few lines of float64.
#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/runtime/policy_cases.h"

namespace headscope::runtime {
namespace {

using test::best_and_recent;
using test::best_first;
using test::Kept;
using test::PolicyCase;
using test::pool_of;
using test::Positions;
using test::random_policy_case;

// ---- the rules
// -----------------------------------------------------------------------------------

// [B, Hkv, n] from [B, Hq, n]: query head h belongs to KV head h / G.
at::Tensor vote(const PolicyCase& c, const at::Tensor& scores) {
  std::vector<at::Tensor> groups;
  for (int64_t k = 0; k < c.num_kv_heads(); ++k) {
    const at::Tensor own = scores.slice(1, k * c.group(), (k + 1) * c.group());
    groups.push_back(c.selection.quirks.group_max ? own.amax(1) : own.mean(1));
  }
  return at::stack(groups, 1);
}

at::Tensor snap_scores(const PolicyCase& c, int64_t layer) {
  const int64_t w = c.selection.observation_window;
  const at::Tensor summed = pool_of(c.window_attention(layer, w).sum(2), c.selection);
  return c.selection.index_sets == IndexSets::kLayer
             ? summed.mean(1, true).expand({-1, c.num_kv_heads(), -1})
             : vote(c, summed);
}

at::Tensor srh_scores(const PolicyCase& c, int64_t layer) {
  const int64_t w = c.selection.observation_window;
  const at::Tensor summed = pool_of(c.window_attention(layer, w).sum(2), c.selection);
  std::vector<at::Tensor> rankings;
  for (int64_t k = 0; k < c.num_kv_heads(); ++k) {
    Positions judges = c.selectors;
    if (c.selection.index_sets == IndexSets::kKvHead) {
      std::erase_if(judges, [&](int64_t head) { return head / c.group() != k; });
      for (int64_t i = 0; judges.empty() || (i > 0 && i < c.group()); ++i) {
        judges.push_back(k * c.group() + i);
      }
    }
    rankings.push_back(summed.index_select(1, at::tensor(judges, at::kLong)).mean(1));
  }
  return at::stack(rankings, 1);
}

// Every KV head its own budget, of which the window is part.
Kept by_budget(const PolicyCase& c, at::Tensor (*scores)(const PolicyCase&, int64_t)) {
  Kept kept;
  const int64_t w = c.selection.observation_window;
  for (int64_t layer = 0; layer < c.num_layers(); ++layer) {
    const at::Tensor ranking = scores(c, layer);
    std::vector<Positions>& rows = kept.emplace_back();
    for (int64_t b = 0; b < c.batch(); ++b) {
      for (int64_t k = 0; k < c.num_kv_heads(); ++k) {
        const int64_t budget = c.budgets[static_cast<size_t>(layer)][static_cast<size_t>(k)];
        rows.push_back(best_and_recent(ranking[b][k], budget - w, w, c.num_keys()));
      }
    }
  }
  return kept;
}

Kept h2o_rule(const PolicyCase& c) {
  Kept kept;
  const int64_t n = c.num_keys();
  for (int64_t layer = 0; layer < c.num_layers(); ++layer) {
    at::Tensor sums = c.attention(layer).sum(2);
    if (c.selection.quirks.mean_per_row) sums = sums / at::arange(n, 0, -1, at::kDouble);
    const at::Tensor votes = vote(c, sums);
    std::vector<Positions>& rows = kept.emplace_back();
    for (int64_t b = 0; b < c.batch(); ++b) {
      for (int64_t k = 0; k < c.num_kv_heads(); ++k) {
        const int64_t budget = c.budgets[static_cast<size_t>(layer)][static_cast<size_t>(k)];
        const int64_t heavy = budget / 2, recent = budget - heavy;
        rows.push_back(best_and_recent(votes[b][k].slice(0, 0, n - recent), heavy, recent, n));
      }
    }
  }
  return kept;
}

// Keys beside the window of every KV head: its number among the best of the layer, mixed with an
// equal share; fractions of tokens go to the largest.
Positions ada_counts(const PolicyCase& c, const at::Tensor& ranking, int64_t pool) {
  const int64_t heads = c.num_kv_heads(), n = ranking.size(1);
  const MethodQuirks& quirks = c.selection.quirks;
  at::Tensor competing = ranking;
  if (quirks.weigh_heads) {
    const at::Tensor best = std::get<0>(at::sort(ranking, -1, true)).slice(1, 0, pool / heads);
    competing = ranking * (best.sum(1, true) / ranking.sum(1, true));
  }
  Positions among_best(static_cast<size_t>(heads), 0);
  Positions order = best_first(competing.flatten());
  for (int64_t i = 0; i < pool; ++i) {
    ++among_best[static_cast<size_t>(order[static_cast<size_t>(i)] / n)];
  }
  Positions counts;
  std::vector<std::pair<double, size_t>> fractions;
  int64_t left = pool;
  for (size_t head = 0; head < among_best.size(); ++head) {
    const double share = static_cast<double>(among_best[head]) * (1.0 - quirks.head_floor) +
                         static_cast<double>(pool) / static_cast<double>(heads) * quirks.head_floor;
    counts.push_back(static_cast<int64_t>(std::floor(share)));
    fractions.emplace_back(-(share - std::floor(share)), head);
    left -= counts.back();
  }
  std::sort(fractions.begin(), fractions.end());
  for (int64_t i = 0; i < left; ++i) ++counts[fractions[static_cast<size_t>(i)].second];
  return counts;
}

Kept ada_rule(const PolicyCase& c, at::Tensor (*keys)(const PolicyCase&, int64_t)) {
  Kept kept;
  const int64_t w = c.selection.observation_window;
  for (int64_t layer = 0; layer < c.num_layers(); ++layer) {
    const std::vector<int64_t>& budgets = c.budgets[static_cast<size_t>(layer)];
    const int64_t pool =
        std::accumulate(budgets.begin(), budgets.end(), int64_t{0}) - w * c.num_kv_heads();
    const at::Tensor votes = snap_scores(c, layer), ranking = keys(c, layer);
    std::vector<Positions>& rows = kept.emplace_back();
    for (int64_t b = 0; b < c.batch(); ++b) {
      const Positions counts = ada_counts(c, votes[b], pool);
      for (int64_t k = 0; k < c.num_kv_heads(); ++k) {
        rows.push_back(
            best_and_recent(ranking[b][k], counts[static_cast<size_t>(k)], w, c.num_keys()));
      }
    }
  }
  return kept;
}

int64_t total_budget(const PolicyCase& c) {
  int64_t total = 0;
  for (const std::vector<int64_t>& layer : c.budgets) {
    for (const int64_t budget : layer) total += budget;
  }
  return total;
}

Kept cake_rule(const PolicyCase& c) {
  const int64_t w = c.selection.observation_window, room = c.num_keys() - w;
  const MethodQuirks& quirks = c.selection.quirks;
  const int64_t pool = total_budget(c) / c.num_kv_heads() - w * c.num_layers();
  Kept kept(static_cast<size_t>(c.num_layers()));
  for (int64_t b = 0; b < c.batch(); ++b) {
    std::vector<double> preference;
    double sum = 0.0;
    for (int64_t layer = 0; layer < c.num_layers(); ++layer) {
      const at::Tensor a = c.window_attention(layer, w)[b];
      const double dispersion = -(a * (a + 1e-10).log()).sum().item<double>();
      const double shift = a.var(at::IntArrayRef({1}), true).sum().item<double>();
      preference.push_back(std::pow(dispersion, 1.0 / quirks.entropy_tau) *
                           std::pow(shift, 1.0 / quirks.variance_tau));
      sum += preference.back();
    }
    Positions counts;
    int64_t left = pool;
    for (const double p : preference) {
      counts.push_back(std::min(room, static_cast<int64_t>(p / sum * static_cast<double>(pool))));
      left -= counts.back();
    }
    for (size_t layer = 0; left > 0; layer = (layer + 1) % counts.size()) {
      if (counts[layer] == room) continue;
      ++counts[layer];
      --left;
    }
    for (int64_t layer = 0; layer < c.num_layers(); ++layer) {
      const at::Tensor a = c.window_attention(layer, w);
      const at::Tensor indicator =
          vote(c, pool_of(a.mean(2) + quirks.variance_weight * a.var(at::IntArrayRef({2}), true),
                          c.selection))[b];
      for (int64_t k = 0; k < c.num_kv_heads(); ++k) {
        kept[static_cast<size_t>(layer)].push_back(
            best_and_recent(indicator[k], counts[static_cast<size_t>(layer)], w, c.num_keys()));
      }
    }
  }
  return kept;
}

// Token by token: each is worth what the best key of its block is.
Kept kvcompress_rule(const PolicyCase& c) {
  const int64_t w = c.selection.observation_window, block = c.selection.quirks.block_tokens;
  const int64_t rows = c.num_layers() * c.num_kv_heads();
  struct Token {
    double worth;
    int64_t row;
  };
  Kept kept(static_cast<size_t>(c.num_layers()));
  for (int64_t b = 0; b < c.batch(); ++b) {
    std::vector<Token> tokens;
    std::vector<at::Tensor> rankings;
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t layer = row / c.num_kv_heads(), k = row % c.num_kv_heads();
      const at::Tensor a = c.window_attention(layer, w)[b];
      const at::Tensor of_group = a.slice(0, k * c.group(), (k + 1) * c.group());
      const at::Tensor mass =
          (c.selection.quirks.squared ? of_group.square() : of_group).flatten(0, 1).sum(0);
      rankings.push_back(pool_of(mass.unsqueeze(0), c.selection)[0]);
      const Positions order = best_first(rankings.back());
      for (size_t rank = 0; rank < order.size(); ++rank) {
        const int64_t in_block = (static_cast<int64_t>(rank) + w % block) % block;
        const size_t head_of_block = rank - std::min<size_t>(rank, static_cast<size_t>(in_block));
        tokens.push_back({rankings.back()[order[head_of_block]].item<double>(), row});
      }
    }
    std::stable_sort(tokens.begin(), tokens.end(),
                     [](const Token& x, const Token& y) { return x.worth > y.worth; });
    Positions counts(static_cast<size_t>(rows), 0);
    for (int64_t i = 0; i < total_budget(c) - rows * w; ++i) {
      ++counts[static_cast<size_t>(tokens[static_cast<size_t>(i)].row)];
    }
    for (size_t row = 0; row < counts.size(); ++row) {
      kept[row / static_cast<size_t>(c.num_kv_heads())].push_back(
          best_and_recent(rankings[row], counts[row], w, c.num_keys()));
    }
  }
  return kept;
}

// ---- the comparison
// ------------------------------------------------------------------------------

struct Rule {
  const char* method;
  std::function<Kept(const PolicyCase&)> kept;
  std::function<void(SelectionOptions&)> change = [](SelectionOptions&) {};
};

const auto kSnap = [](const PolicyCase& c) { return by_budget(c, snap_scores); };
const auto kSrh = [](const PolicyCase& c) { return by_budget(c, srh_scores); };
const auto kAda = [](const PolicyCase& c) { return ada_rule(c, snap_scores); };
const auto kAdaSrh = [](const PolicyCase& c) { return ada_rule(c, srh_scores); };

void max_pooling(SelectionOptions& selection) {
  selection.pooling = Pooling::kMax;
  selection.pooling_kernel = 7;
}

std::vector<Rule> rules() {
  return {
      {"snapkv", kSnap},
      {"snapkv", kSnap, max_pooling},
      {"snapkv", kSnap, [](SelectionOptions& s) { s.quirks.group_max = true; }},
      {"snapkv", kSnap, [](SelectionOptions& s) { s.index_sets = IndexSets::kLayer; }},
      {"pyramidkv", kSnap},
      {"headkv", kSnap, max_pooling},
      {"compresskv", kSrh},
      {"compresskv", kSrh, [](SelectionOptions& s) { s.index_sets = IndexSets::kKvHead; }},
      {"headcompresskv", kSrh},
      {"h2o", h2o_rule},
      {"h2o", h2o_rule, [](SelectionOptions& s) { s.quirks.mean_per_row = true; }},
      {"adakv", kAda},
      {"adakv", kAda,
       [](SelectionOptions& s) {
         max_pooling(s);
         s.quirks.weigh_heads = true;
         s.quirks.head_floor = 0.5;
       }},
      {"adacompresskv", kAdaSrh},
      {"cake", cake_rule},
      {"cake", cake_rule, [](SelectionOptions& s) { s.quirks.variance_tau = 0.8; }},
      {"kvcompress", kvcompress_rule},
      {"kvcompress", kvcompress_rule,
       [](SelectionOptions& s) {
         max_pooling(s);
         s.quirks.squared = false;
         s.quirks.block_tokens = 5;
       }},
  };
}

PolicyCase case_of(const Rule& rule, int64_t group, int64_t batch, int64_t keys, uint64_t seed) {
  PolicyCase c = random_policy_case(3, group, 2, batch, keys, seed);
  c.budgets = {{40, 24}, {24, 40}, {33, 31}};
  c.selectors = group == 1 ? Positions{1} : Positions{group - 1, 0};
  c.selection = find_policy(rule.method).defaults;
  rule.change(c.selection);
  return c;
}

// Whether the rule keeps these keys, of this case or of one whose queries differ by a few units in
// the last place: then two keys were as good as tied in float32.
bool keeps_by_rule(const Rule& rule, const PolicyCase& c, const Kept& kept) {
  if (kept == rule.kept(c)) return true;
  constexpr int kDraws = 12;
  at::manual_seed(17);
  for (int draw = 0; draw < kDraws; ++draw) {
    PolicyCase near = c;
    for (at::Tensor& q : near.sequence.q) q = q * (1.0 + 3e-7 * at::randn_like(q));
    if (kept == rule.kept(near)) return true;
  }
  return false;
}

TEST_CASE("every policy keeps the keys that its rule keeps, at every group size", "[runtime]") {
  int64_t number = 0;
  for (const Rule& rule : rules()) {
    ++number;
    for (const int64_t group : {1, 2, 4, 7, 8}) {
      for (const int64_t batch : {1, 2}) {
        const auto seed = static_cast<uint64_t>(1000 * number + 10 * group + batch);
        INFO("rule " << number << " " << rule.method << ", group " << group << ", batch " << batch
                     << ", seed " << seed);
        const PolicyCase c = case_of(rule, group, batch, /*keys=*/150, seed);
        CHECK(keeps_by_rule(rule, c, c.kept_by(find_policy(rule.method))));
      }
    }
  }
}

// Of the vote that ranks a head's keys, what the kept ones hold.
double kept_mass(const PolicyCase& c,
                 const Kept& kept,
                 at::Tensor (*scores)(const PolicyCase&, int64_t)) {
  const int64_t w = c.selection.observation_window;
  double mass = 0.0;
  for (int64_t layer = 0; layer < c.num_layers(); ++layer) {
    const at::Tensor ranking = scores(c, layer).flatten(0, 1);
    for (int64_t row = 0; row < ranking.size(0); ++row) {
      Positions chosen = kept[static_cast<size_t>(layer)][static_cast<size_t>(row)];
      chosen.resize(chosen.size() - static_cast<size_t>(w));
      mass += ranking[row].index_select(0, at::tensor(chosen, at::kLong)).sum().item<double>();
    }
  }
  return mass;
}

at::Tensor h2o_scores(const PolicyCase& c, int64_t layer) {
  return vote(c, c.attention(layer).sum(2));
}

TEST_CASE("on longer prompts float32 keeps the score mass of float64 to 1e-5", "[runtime]") {
  const std::map<std::string, at::Tensor (*)(const PolicyCase&, int64_t)> scores{
      {"compresskv", srh_scores},
      {"adacompresskv", srh_scores},
      {"headcompresskv", srh_scores},
      {"h2o", h2o_scores}};
  for (const Rule& rule : rules()) {
    INFO(rule.method << ", seed 77");
    PolicyCase c = case_of(rule, /*group=*/4, /*batch=*/1, /*keys=*/1200, 77);
    c.budgets.assign(3, {300, 260});
    const auto known = scores.find(rule.method);
    const auto by = known == scores.end() ? &snap_scores : known->second;
    const double found = kept_mass(c, c.kept_by(find_policy(rule.method)), by);
    const double wanted = kept_mass(c, rule.kept(c), by);
    CHECK(found == Approx(wanted).epsilon(1e-5));
  }
}

TEST_CASE("index sets per KV head differ between heads, per layer they do not", "[runtime]") {
  PolicyCase c = case_of({"compresskv", kSrh}, 4, 1, 150, 501);
  c.budgets.assign(3, {32, 32});
  const Kept shared = c.kept_by(find_policy("compresskv"));
  CHECK(shared[0][0] == shared[0][1]);
  c.selection.index_sets = IndexSets::kKvHead;
  const Kept own = c.kept_by(find_policy("compresskv"));
  CHECK(own[0][0] != own[0][1]);
  c.selection = find_policy("snapkv").defaults;
  CHECK(c.kept_by(find_policy("snapkv"))[0][0] != c.kept_by(find_policy("snapkv"))[0][1]);
  c.selection.index_sets = IndexSets::kLayer;
  CHECK(c.kept_by(find_policy("snapkv"))[0][0] == c.kept_by(find_policy("snapkv"))[0][1]);
}

TEST_CASE("kvcompress with even layers meets every layer's own budget", "[runtime]") {
  PolicyCase c = case_of({"kvcompress", kvcompress_rule}, 2, 2, 150, 502);
  // Layer 0 hardly prefers any key: all its squared weights are small.
  c.sequence.q[0].mul_(0.01);
  c.selection.quirks.even_layers = true;
  const Kept kept = c.kept_by(find_policy("kvcompress"));
  for (size_t layer = 0; layer < kept.size(); ++layer) {
    for (size_t b = 0; b < 2; ++b) {
      CHECK(kept[layer][2 * b].size() + kept[layer][2 * b + 1].size() == 64);
    }
  }
  c.selection.quirks.even_layers = false;
  const Kept together = c.kept_by(find_policy("kvcompress"));
  CHECK(together[0][0].size() + together[0][1].size() < 64);
}

// Layer 1 spreads and shifts its attention so much more that its share exceeds the prompt.
TEST_CASE("cake gives what a layer cannot hold to the others", "[runtime]") {
  PolicyCase c = case_of({"cake", cake_rule}, 2, 1, 60, 503);
  c.budgets.assign(3, {50, 50});
  c.sequence.q[0].mul_(0.01);
  c.sequence.q[2].mul_(0.01);
  const Kept kept = c.kept_by(find_policy("cake"));
  CHECK(kept == cake_rule(c));
  CHECK(kept[1][0].size() == 60);
  CHECK(kept[0][0].size() == 45);
  CHECK(kept[2][0].size() == 45);
}

}  // namespace
}  // namespace headscope::runtime
