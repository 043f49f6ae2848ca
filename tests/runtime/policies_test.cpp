// Each policy's kept set against a statement of its rule in a few lines of
// float64 ATen.
#include <ATen/ATen.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <numeric>
#include <set>
#include <vector>

#include "outputs/input_error.h"
#include "runtime/eviction_policy.h"
#include "tests/runtime/attention_steps.h"

namespace headscope::runtime {
namespace {

using test::random_sequence;
using test::small_shape;
using Positions = std::vector<int64_t>;

Positions to_vector(const at::Tensor& tensor) {
  const at::Tensor whole = tensor.contiguous();
  const int64_t* data = whole.const_data_ptr<int64_t>();
  return {data, data + whole.numel()};
}

// Softmax weights of the last w queries on all S keys with the causal mask: [B,
// Hq, w, S] float64.
at::Tensor window_attention(const at::Tensor& q, const at::Tensor& k, double scale, int64_t w) {
  const int64_t num_keys = k.size(2);
  const at::Tensor keys = k.to(at::kDouble).repeat_interleave(q.size(1) / k.size(1), 1);
  const at::Tensor rows = q.to(at::kDouble).slice(2, num_keys - w);
  const at::Tensor logits = at::matmul(rows, keys.transpose(2, 3)) * scale;
  const at::Tensor allowed = at::ones({w, num_keys}, at::kBool).tril(/*diagonal=*/num_keys - w);
  return logits.masked_fill(allowed.logical_not(), -INFINITY).softmax(-1);
}

// Zero-padded moving average over 5 positions, padding counted.
at::Tensor average_of_five(const at::Tensor& scores) {
  const at::Tensor padded = at::constant_pad_nd(scores, {2, 2});
  return padded.unfold(-1, 5, 1).mean(-1);
}

// The best `count` of `scores` [n] and the last w of num_keys positions.
Positions best_and_window(const at::Tensor& scores, int64_t count, int64_t w) {
  const at::Tensor row = scores.contiguous();
  const double* score = row.const_data_ptr<double>();
  Positions order(static_cast<size_t>(row.numel()));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return score[a] > score[b]; });
  order.resize(static_cast<size_t>(count));
  std::sort(order.begin(), order.end());
  for (int64_t i = 0; i < w; ++i) {
    order.push_back(row.numel() + i);
  }
  return order;
}

struct Case {
  test::Sequence sequence;
  std::vector<int64_t> budgets;
  std::vector<int64_t> selectors;
  SelectionOptions selection;

  [[nodiscard]] LayerEvidence evidence() const {
    const int64_t num_keys = sequence.k[0].size(2);
    const int64_t rows = std::min(num_keys, selection.observation_window);
    return {.layer = 0,
            .window_q = sequence.q[0].slice(2, num_keys - rows),
            .window_lse = {},
            .received = {},
            .k = sequence.k[0],
            .scale = sequence.scale,
            .attention_window = 0,
            .budget_tokens = budgets,
            .selector_heads = selectors,
            .selection = selection};
  }
};

constexpr int64_t kKvHeads = 2;
constexpr int64_t kKeys = 150;

Case random_case(int64_t group, int64_t batch, std::vector<int64_t> budgets, uint64_t seed) {
  return {random_sequence(small_shape(1, group * kKvHeads, kKvHeads), batch, kKeys, seed),
          std::move(budgets),
          {},
          {}};
}

TEST_CASE("snapkv keeps the rule's keys for every group size and batch", "[runtime]") {
  for (const int64_t group : {1, 2, 4, 7, 8}) {
    for (const int64_t batch : {1, 2}) {
      const auto seed = static_cast<uint64_t>(100 * group + batch);
      INFO("group " << group << ", batch " << batch << ", seed " << seed);
      const Case c = random_case(group, batch, {40, 24}, seed);
      const RetainedPositions found = find_policy("snapkv").retain(c.evidence());
      const at::Tensor votes =
          average_of_five(window_attention(c.sequence.q[0], c.sequence.k[0], c.sequence.scale, 8)
                              .sum(2)
                              .slice(-1, 0, kKeys - 8));
      REQUIRE(found.size() == static_cast<size_t>(batch * kKvHeads));
      for (int64_t b = 0; b < batch; ++b) {
        for (int64_t head = 0; head < kKvHeads; ++head) {
          const at::Tensor of_group = votes[b].slice(0, head * group, (head + 1) * group).mean(0);
          const int64_t budget = c.budgets[static_cast<size_t>(head)];
          CHECK(to_vector(found[static_cast<size_t>(b * kKvHeads + head)]) ==
                best_and_window(of_group, budget - 8, 8));
        }
      }
    }
  }
}

TEST_CASE("compresskv keeps one ranking of its selector heads per layer", "[runtime]") {
  for (const int64_t group : {1, 2, 4, 7, 8}) {
    for (const int64_t batch : {1, 2}) {
      const auto seed = static_cast<uint64_t>(300 * group + batch);
      INFO("group " << group << ", batch " << batch << ", seed " << seed);
      Case c = random_case(group, batch, {40, 24}, seed);
      c.selectors = group == 1 ? std::vector<int64_t>{1} : std::vector<int64_t>{group, 1, 0};
      const RetainedPositions found = find_policy("compresskv").retain(c.evidence());
      const at::Tensor votes =
          average_of_five(window_attention(c.sequence.q[0], c.sequence.k[0], c.sequence.scale, 8)
                              .sum(2)
                              .slice(-1, 0, kKeys - 8));
      for (int64_t b = 0; b < batch; ++b) {
        at::Tensor mean = at::zeros({kKeys - 8}, at::kDouble);
        for (const int64_t head : c.selectors) {
          mean += votes[b][head] / static_cast<double>(c.selectors.size());
        }
        for (int64_t head = 0; head < kKvHeads; ++head) {
          const int64_t budget = c.budgets[static_cast<size_t>(head)];
          CHECK(to_vector(found[static_cast<size_t>(b * kKvHeads + head)]) ==
                best_and_window(mean, budget - 8, 8));
        }
      }
    }
  }
}

TEST_CASE(
    "compresskv without a list asks all heads; equal budgets share one "
    "index set",
    "[runtime]") {
  Case c = random_case(4, 2, {30, 30}, 401);
  const RetainedPositions all = find_policy("compresskv").retain(c.evidence());
  c.selectors = {0, 1, 2, 3, 4, 5, 6, 7};
  const RetainedPositions listed = find_policy("compresskv").retain(c.evidence());
  for (size_t row = 0; row < all.size(); ++row) {
    CHECK(to_vector(all[row]) == to_vector(listed[row]));
  }
  CHECK(all[0].is_same(all[1]));
  CHECK(all[2].is_same(all[3]));
  CHECK(to_vector(all[0]) != to_vector(all[2]));
}

TEST_CASE("streaming keeps four sinks and the most recent", "[runtime]") {
  Case c = random_case(2, 2, {20, 6}, 402);
  c.selection = find_policy("streaming").defaults;
  const RetainedPositions found = find_policy("streaming").retain(c.evidence());
  Positions twenty = {0, 1, 2, 3};
  for (int64_t p = kKeys - 16; p < kKeys; ++p) twenty.push_back(p);
  CHECK(to_vector(found[0]) == twenty);
  CHECK(to_vector(found[2]) == twenty);
  // Six tokens: sinks take half at most.
  CHECK(to_vector(found[1]) == Positions{0, 1, 2, kKeys - 3, kKeys - 2, kKeys - 1});
}

TEST_CASE("full keeps everything whatever the budget", "[runtime]") {
  Case c = random_case(2, 1, {1, 1}, 403);
  c.selection = find_policy("full").defaults;
  for (const at::Tensor& row : find_policy("full").retain(c.evidence())) {
    CHECK(row.numel() == kKeys);
  }
}

// Query heads 0..3 look at one key, heads 4..7 at another. In the interleaved
// grouping (h, h + K, …) both KV heads would hear half of each and keep both
// keys.
TEST_CASE("snapkv groups are the query heads kG to kG + G - 1", "[runtime]") {
  constexpr int64_t kGroup = 4;
  constexpr int64_t kPlanted = 30;
  constexpr int64_t kDecoy = 90;
  test::Sequence sequence =
      random_sequence(small_shape(1, kGroup * kKvHeads, kKvHeads), 1, kKeys, 404);
  sequence.q[0] = at::zeros_like(sequence.q[0]);
  sequence.k[0] = at::zeros_like(sequence.k[0]);
  // Dimension 0 points at the planted key, dimension 1 at the decoy, in both KV
  // heads.
  sequence.k[0].select(3, 0).select(2, kPlanted).fill_(10.0);
  sequence.k[0].select(3, 1).select(2, kDecoy).fill_(10.0);
  for (int64_t head = 0; head < kGroup * kKvHeads; ++head) {
    const bool in_group_one = head / kGroup == 1;
    sequence.q[0].select(1, head).select(2, in_group_one ? 0 : 1).fill_(10.0);
  }
  const Case c{sequence, {9, 9}, {}, {.pooling = Pooling::kNone, .pooling_kernel = 1}};
  // Budget 9: a window of 4 and five by score; ties behind the first go to the
  // lowest positions.
  const RetainedPositions found = find_policy("snapkv").retain(c.evidence());
  const Positions group_zero = to_vector(found[0]);
  const Positions group_one = to_vector(found[1]);
  const auto holds = [](const Positions& positions, int64_t p) {
    return std::binary_search(positions.begin(), positions.end(), p);
  };
  CHECK(holds(group_one, kPlanted));
  CHECK_FALSE(holds(group_one, kDecoy));
  CHECK(holds(group_zero, kDecoy));
  CHECK_FALSE(holds(group_zero, kPlanted));
}

TEST_CASE("sinks and the window never leave, and the budget is met exactly", "[runtime]") {
  for (const std::string name : {"snapkv", "compresskv", "streaming"}) {
    for (const int64_t num_sinks : {0, 1, 4}) {
      for (const int64_t budget : {0, 1, 2, 3, 9, 10, 15, 16, 17, 64, 149, 150, 151}) {
        INFO(name << ", sinks " << num_sinks << ", budget " << budget);
        Case c = random_case(2, 2, {budget, 12}, 405);
        c.selection = find_policy(name).defaults;
        c.selection.num_sink_tokens = num_sinks;
        const RetainedPositions found = find_policy(name).retain(c.evidence());
        for (size_t row = 0; row < found.size(); ++row) {
          const int64_t asked = c.budgets[row % kKvHeads];
          const Positions kept = to_vector(found[row]);
          REQUIRE(static_cast<int64_t>(kept.size()) == std::min(asked, kKeys));
          REQUIRE(std::is_sorted(kept.begin(), kept.end()));
          REQUIRE(std::set<int64_t>(kept.begin(), kept.end()).size() == kept.size());
          // The window is 8 tokens, at most half of the budget; sinks what then
          // fits.
          const int64_t recent = std::min<int64_t>(8, asked / 2);
          for (int64_t i = 1; i <= recent; ++i) {
            REQUIRE(std::count(kept.begin(), kept.end(), kKeys - i) == 1);
          }
          for (int64_t i = 0; i < std::min(num_sinks, asked / 2); ++i) {
            REQUIRE(kept[static_cast<size_t>(i)] == i);
          }
        }
      }
    }
  }
}

TEST_CASE("a small budget halves the window, and the judging rows with it", "[runtime]") {
  const Case c = random_case(2, 1, {6, 6}, 406);
  const RetainedPositions found = find_policy("snapkv").retain(c.evidence());
  const at::Tensor votes =
      average_of_five(window_attention(c.sequence.q[0], c.sequence.k[0], c.sequence.scale, 3)
                          .sum(2)
                          .slice(-1, 0, kKeys - 3));
  CHECK(to_vector(found[0]) == best_and_window(votes[0].slice(0, 0, 2).mean(0), 3, 3));
  CHECK(to_vector(found[1]) == best_and_window(votes[0].slice(0, 2, 4).mean(0), 3, 3));
}

TEST_CASE("a log-sum-exp that is known gives the same choice", "[runtime]") {
  const Case c = random_case(4, 2, {40, 24}, 407);
  LayerEvidence evidence = c.evidence();
  const RetainedPositions without = find_policy("snapkv").retain(evidence);
  const at::Tensor keys = c.sequence.k[0].to(at::kDouble).repeat_interleave(4, 1);
  const at::Tensor logits =
      at::matmul(evidence.window_q.to(at::kDouble), keys.transpose(2, 3)) * c.sequence.scale;
  const at::Tensor hidden = at::ones({8, kKeys}, at::kBool).tril(kKeys - 8).logical_not();
  evidence.window_lse = logits.masked_fill(hidden, -INFINITY).logsumexp(-1).to(at::kFloat);
  const RetainedPositions with = find_policy("snapkv").retain(evidence);
  for (size_t row = 0; row < with.size(); ++row) {
    CHECK(to_vector(with[row]) == to_vector(without[row]));
  }
}

TEST_CASE("an unknown method is refused with the list of known ones", "[runtime]") {
  CHECK(policy_names() ==
        "full, streaming, snapkv, pyramidkv, h2o, adakv, cake, compresskv, headcompresskv, "
        "adacompresskv, headkv, razor, kvcompress, gates");
  CHECK_THROWS_AS(find_policy("tova"), InputError);
  CHECK_THROWS_WITH(find_policy("tova", "--method"),
                    "--method: expected one of " + policy_names() + ", found \"tova\".");
  CHECK(find_policy("compresskv").needs_selector_heads);
  CHECK_FALSE(find_policy("snapkv").needs_selector_heads);
}

}  // namespace
}  // namespace headscope::runtime
