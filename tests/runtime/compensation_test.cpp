// One token for many: RazorAttention's compensation.
#include "runtime/compensation.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "runtime/compressor.h"
#include "tests/runtime/attention_steps.h"

namespace headscope::runtime {
namespace {

using test::feed;
using test::feed_prompt;
using test::largest_difference;
using test::random_sequence;
using test::small_shape;

constexpr int64_t kPrompt = 60;

BudgetPlan razor_plan(const ModelShape& shape, std::vector<int64_t> budgets) {
  BudgetPlan plan = uniform_plan("razor", shape, 20);
  plan.budget_tokens.front() = std::move(budgets);
  return plan;
}

// The paper's formula, term by term, for the query at the last position of `sequence`.
at::Tensor with_stand_in(const test::Sequence& sequence,
                         const std::vector<std::vector<int64_t>>& kept,
                         int64_t end) {
  const int64_t group = sequence.q[0].size(1) / sequence.k[0].size(1);
  std::vector<at::Tensor> outputs;
  for (int64_t head = 0; head < sequence.q[0].size(1); ++head) {
    const std::vector<int64_t>& held = kept[static_cast<size_t>(head / group)];
    const at::Tensor k = sequence.k[0][0][head / group].to(at::kDouble);
    const at::Tensor v = sequence.v[0][0][head / group].to(at::kDouble);
    const at::Tensor q = sequence.q[0][0][head][end - 1].to(at::kDouble) * sequence.scale;
    std::vector<int64_t> dropped;
    for (int64_t p = 0; p < kPrompt; ++p) {
      if (std::find(held.begin(), held.end(), p) == held.end()) dropped.push_back(p);
    }
    const at::Tensor held_index = at::tensor(held, at::kLong);
    const at::Tensor weight = k.index_select(0, held_index).mv(q).exp();
    at::Tensor top = weight.unsqueeze(0).mm(v.index_select(0, held_index)).squeeze(0);
    at::Tensor bottom = weight.sum();
    if (!dropped.empty()) {
      const at::Tensor index = at::tensor(dropped, at::kLong);
      const at::Tensor stand_in =
          k.index_select(0, index).mean(0).dot(q).exp() * static_cast<double>(dropped.size());
      top = top + stand_in * v.index_select(0, index).mean(0);
      bottom = bottom + stand_in;
    }
    outputs.push_back(top / bottom);
  }
  return at::stack(outputs);
}

TEST_CASE("razor attends to what it kept and to the mean of what it dropped", "[runtime]") {
  for (const int64_t group : {1, 2, 7}) {
    INFO("group " << group << ", seed 801");
    const test::Sequence sequence =
        random_sequence(small_shape(1, 2 * group, 2), 1, kPrompt + 6, 801);
    // One head drops most of the prompt, the other nothing.
    const auto cache = make_cache(razor_plan(sequence.shape, {20, kPrompt}));
    feed_prompt(*cache, sequence, kPrompt, 25);
    CHECK(cache->retained().retained_positions(0, 0).size() == 19);
    CHECK(cache->retained().retained_positions(0, 1).size() == kPrompt);
    for (int64_t position = kPrompt; position < kPrompt + 6; ++position) {
      const auto found = feed(*cache, sequence, position, position + 1);
      const std::vector<std::vector<int64_t>> kept{cache->retained().retained_positions(0, 0),
                                                   cache->retained().retained_positions(0, 1)};
      CHECK(largest_difference(found[0].z[0].select(1, 0),
                               with_stand_in(sequence, kept, position + 1)) < 1e-5);
    }
  }
}

TEST_CASE("where all that was dropped is alike, nothing is lost", "[runtime]") {
  test::Sequence sequence = random_sequence(small_shape(1, 4, 2), 1, kPrompt + 3, 802);
  // Positions 4 .. 44 of both heads are dropped at a budget of 20: 4 sinks, 15 recent, the token.
  for (at::Tensor* entries : {&sequence.k[0], &sequence.v[0]}) {
    entries->slice(2, 4, kPrompt - 15).copy_(entries->slice(2, 4, 5));
  }
  FullKvCache full(1);
  const auto cache = make_cache(razor_plan(sequence.shape, {20, 20}));
  BudgetPlan bare = razor_plan(sequence.shape, {20, 20});
  bare.selection.quirks.compensation = false;
  const auto without = make_cache(bare);
  for (KvCache* each : {static_cast<KvCache*>(&full), static_cast<KvCache*>(cache.get()),
                        static_cast<KvCache*>(without.get())}) {
    feed_prompt(*each, sequence, kPrompt, 30);
  }
  CHECK(cache->bytes_held() == without->bytes_held());
  const auto expected = feed(full, sequence, kPrompt, kPrompt + 3);
  const auto found = feed(*cache, sequence, kPrompt, kPrompt + 3);
  CHECK(largest_difference(expected[0].z, found[0].z) < 1e-5);
  CHECK(largest_difference(expected[0].lse, found[0].lse) < 1e-5);
  const auto bare_attention = feed(*without, sequence, kPrompt, kPrompt + 3);
  CHECK(largest_difference(expected[0].z, bare_attention[0].z) > 1e-3);
}

}  // namespace
}  // namespace headscope::runtime
