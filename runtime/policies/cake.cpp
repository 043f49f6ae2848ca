// CAKE (arXiv 2503.12491): layers share one budget by their preference
//
//   P = H^(1/tau1) V^(1/tau2),   H = - sum A log A,   V = sum over heads and keys of var_rows A
//
// over the attention A of the window's rows on the keys before it (H: dispersion in space, V: shift
// over time); every KV head of a layer gets the layer's share. Which keys stay says the indicator
// mean_rows A + gamma var_rows A, average-pooled, averaged over the group. Variances are unbiased.
//
// Where it differs from the paper's program: a layer's share is cut at the keys there are and the
// excess spread evenly until no layer exceeds them, where the program spreads it once and loses the
// rest; each sequence of a batch has shares of its own. The paper trims earlier layers again after
// every layer of the prefill. Shares only shrink as layers join, so the outcome is that of one
// trimming at the end, which is what happens here. tau1, tau2 and gamma are tuned per model and
// budget there (quirks entropy_tau, variance_tau, variance_weight; defaults are those of
// Llama-3.1-8B from 512 tokens on); the paper's own window is 32.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "runtime/policies/policies.h"
#include "runtime/policies/shared_budget.h"
#include "runtime/policies/window_rule.h"

namespace headscope::runtime {

namespace {

// Attention weights alive at once: 16 Mi elements = 64 MiB.
constexpr int64_t kMostWeights = int64_t{1} << 24;
// Inside the logarithm, as in the paper's program.
constexpr double kEpsilon = 1e-10;

struct Judgement {
  at::Tensor indicator;                // [B, Hkv, S - rows]
  std::vector<double> log_preference;  // [B], -inf = none
};

// Attention of the judging rows of some query heads of one KV head on the keys before the window.
at::Tensor window_weights(const LayerEvidence& evidence,
                          int64_t kv_head,
                          int64_t first_head,
                          int64_t num_heads,
                          int64_t rows) {
  const int64_t num_keys = evidence.k.size(2);
  const at::Tensor q = evidence.window_q.narrow(/*dim=*/1, first_head, num_heads)
                           .narrow(/*dim=*/2, evidence.window_q.size(2) - rows, rows)
                           .to(at::kFloat);
  const at::Tensor k = evidence.k.narrow(/*dim=*/1, kv_head, 1).to(at::kFloat).transpose(-1, -2);
  at::Tensor logits = at::matmul(q * evidence.scale, k);
  const at::Tensor future = at::ones({rows, num_keys}, q.options().dtype(at::kBool))
                                .triu(/*diagonal=*/num_keys - rows + 1);
  logits.masked_fill_(future, -std::numeric_limits<double>::infinity());
  return logits.softmax(-1).narrow(/*dim=*/-1, 0, num_keys - rows);
}

Judgement judge(const LayerEvidence& evidence, int64_t rows) {
  const int64_t batch = evidence.k.size(0);
  const int64_t num_kv_heads = evidence.k.size(1);
  const int64_t group = evidence.window_q.size(1) / num_kv_heads;
  const int64_t step = std::clamp<int64_t>(
      kMostWeights / std::max<int64_t>(1, batch * rows * evidence.k.size(2)), 1, group);
  const MethodQuirks& quirks = evidence.selection.quirks;
  at::Tensor entropy = at::zeros({batch}, evidence.k.options().dtype(at::kDouble));
  at::Tensor shift = at::zeros_like(entropy);
  std::vector<at::Tensor> indicators;
  int64_t num_heads = 0;
  for (int64_t head = 0; head < num_kv_heads * group; head += num_heads) {
    const int64_t kv_head = head / group;
    num_heads = std::min(step, (kv_head + 1) * group - head);
    const at::Tensor weight = window_weights(evidence, kv_head, head, num_heads, rows);
    const at::Tensor variance = rows > 1 ? weight.var(at::IntArrayRef({2}), /*unbiased=*/true)
                                         : at::zeros_like(weight.select(2, 0));
    entropy -= (weight * (weight + kEpsilon).log()).sum({1, 2, 3}).to(at::kDouble);
    shift += variance.sum({1, 2}).to(at::kDouble);
    indicators.push_back(weight.mean(/*dim=*/2) + quirks.variance_weight * variance);
  }
  const at::Tensor preference =
      (entropy.log() / quirks.entropy_tau + shift.log() / quirks.variance_tau).to(at::kCPU);
  const double* log_preference = preference.const_data_ptr<double>();
  return {group_votes(evidence, pooled(at::cat(indicators, /*dim=*/1), evidence.selection)),
          {log_preference, log_preference + batch}};
}

// Shares of `pool` in proportion to exp(log_preference); equal where no layer has any.
std::vector<double> shares_of(const std::vector<double>& log_preference, int64_t pool) {
  double most = -std::numeric_limits<double>::infinity();
  for (const double value : log_preference) {
    if (std::isfinite(value)) most = std::max(most, value);
  }
  std::vector<double> shares;
  for (const double value : log_preference) {
    shares.push_back(!std::isfinite(most)   ? 1.0
                     : std::isfinite(value) ? std::exp(value - most)
                                            : 0.0);
  }
  const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
  for (double& share : shares) share *= static_cast<double>(pool) / sum;
  return shares;
}

// Keys per KV head of every layer beside the recent ones, summing to `pool` where the layers hold
// that many.
std::vector<int64_t> layer_counts(const std::vector<double>& log_preference,
                                  const std::vector<int64_t>& capacity,
                                  int64_t pool) {
  std::vector<int64_t> counts;
  for (const double share : shares_of(log_preference, pool)) {
    counts.push_back(static_cast<int64_t>(share));
  }
  int64_t left = pool;
  for (size_t l = 0; l < counts.size(); ++l) {
    counts[l] = std::min(counts[l], capacity[l]);
    left -= counts[l];
  }
  while (left > 0) {
    std::vector<size_t> open;
    for (size_t l = 0; l < counts.size(); ++l) {
      if (counts[l] < capacity[l]) open.push_back(l);
    }
    if (open.empty()) break;
    // As one token at a time to each in turn.
    const int64_t each = left / static_cast<int64_t>(open.size());
    for (const size_t l : open) {
      const int64_t given = std::min({std::max<int64_t>(1, each), capacity[l] - counts[l], left});
      counts[l] += given;
      left -= given;
    }
  }
  return counts;
}

std::vector<RetainedPositions> retain_cake(std::span<const LayerEvidence> layers) {
  const SharedBudget shared = share_budget(layers);
  const int64_t batch = layers.front().k.size(0);
  const int64_t num_kv_heads = layers.front().k.size(1);
  std::vector<Judgement> judgements;
  std::vector<int64_t> capacity;
  for (const LayerEvidence& layer : layers) {
    judgements.push_back(judge(layer, shared.rows));
    capacity.push_back(layer.k.size(2) - shared.rows);
  }
  const int64_t num_heads = static_cast<int64_t>(layers.size()) * num_kv_heads;
  const int64_t pool = shared.total - num_heads * shared.recent;
  std::vector<std::vector<int64_t>> chosen(layers.size());
  for (int64_t b = 0; b < batch; ++b) {
    std::vector<double> preference;
    for (const Judgement& judgement : judgements) {
      preference.push_back(judgement.log_preference[static_cast<size_t>(b)]);
    }
    const std::vector<int64_t> counts = layer_counts(preference, capacity, pool / num_kv_heads);
    // What does not divide by the KV heads goes to the first heads that have room for it.
    int64_t odd = pool % num_kv_heads;
    for (size_t l = 0; l < layers.size(); ++l) {
      for (int64_t head = 0; head < num_kv_heads; ++head) {
        const int64_t more = odd > 0 && counts[l] < capacity[l] ? 1 : 0;
        chosen[l].push_back(counts[l] + more);
        odd -= more;
      }
    }
  }
  std::vector<RetainedPositions> retained;
  for (size_t l = 0; l < layers.size(); ++l) {
    retained.push_back(retain_chosen(layers[l], judgements[l].indicator, chosen[l], shared.recent));
  }
  return retained;
}

}  // namespace

EvictionPolicy cake_policy() {
  return {.name = "cake",
          .summary = "layer budgets by how attention spreads and shifts (CAKE)",
          .judges_by_window = true,
          .scope = BudgetScope::kModel,
          .published = {.observation_window = 32},
          .retain_model = retain_cake};
}

}  // namespace headscope::runtime
