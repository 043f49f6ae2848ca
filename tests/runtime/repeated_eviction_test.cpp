// Eviction that happens more than once: while a long prompt is read, while tokens are generated, at
// the end of later turns. The oracle is SnapKV's rule in float64, applied to plain lists of
// positions.
#include <ATen/ATen.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <stdexcept>
#include <vector>

#include "outputs/input_error.h"
#include "runtime/compressor.h"
#include "runtime/memory_use.h"
#include "tests/runtime/attention_steps.h"

namespace headscope::runtime {
namespace {

using test::feed;
using test::feed_prompt;
using test::largest_difference;
using test::plain_attention;
using test::random_sequence;
using test::Sequence;
using test::small_shape;

using Positions = std::vector<int64_t>;

constexpr int64_t kWindow = 8;

// What one KV head keeps of the positions it holds, the last of them being end - 1.
Positions judge(const Sequence& sequence,
                int64_t head,
                const Positions& held,
                int64_t budget,
                int64_t judging_rows) {
  const auto num_held = static_cast<int64_t>(held.size());
  if (num_held <= budget) return held;
  const int64_t rows = std::min({kWindow, judging_rows, std::max<int64_t>(1, budget / 2)});
  const int64_t end = held.back() + 1;
  const int64_t group = sequence.q[0].size(1) / sequence.k[0].size(1);
  const at::Tensor keys =
      sequence.k[0][0][head].index_select(0, at::tensor(held, at::kLong)).to(at::kDouble);
  const at::Tensor queries = sequence.q[0][0]
                                 .slice(0, head * group, (head + 1) * group)
                                 .slice(1, end - rows, end)
                                 .to(at::kDouble);
  at::Tensor logits = at::matmul(queries, keys.t()) * sequence.scale;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t i = 0; i < num_held; ++i) {
      if (held[static_cast<size_t>(i)] > end - rows + row)
        logits.select(1, row).select(1, i).fill_(-INFINITY);
    }
  }
  const int64_t candidates = num_held - rows;
  const at::Tensor votes = logits.softmax(-1).sum(1).slice(1, 0, candidates);
  const at::Tensor pooled = at::avg_pool1d(votes.unsqueeze(0), 5, 1, 2)[0].mean(0);
  const at::Tensor best = std::get<1>(pooled.topk(budget - rows));
  Positions kept;
  for (int64_t i = 0; i < best.numel(); ++i) {
    kept.push_back(held[static_cast<size_t>(best[i].item<int64_t>())]);
  }
  kept.insert(kept.end(), held.end() - rows, held.end());
  std::sort(kept.begin(), kept.end());
  return kept;
}

// Attention of tokens begin .. end - 1 of one sequence over what each KV head holds.
at::Tensor attention_over(const Sequence& sequence,
                          const std::vector<Positions>& held,
                          int64_t begin,
                          int64_t end) {
  at::Tensor visible = at::zeros({1, sequence.k[0].size(1), end - begin, end}, at::kBool);
  for (size_t head = 0; head < held.size(); ++head) {
    for (const int64_t position : held[head]) {
      visible[0][static_cast<int64_t>(head)]
          .slice(0, std::max<int64_t>(0, position - begin))
          .select(1, position)
          .fill_(true);
    }
  }
  return plain_attention(sequence.q[0].slice(2, begin, end), sequence.k[0].slice(2, 0, end),
                         sequence.v[0].slice(2, 0, end), sequence.scale, visible);
}

// Runs a cache beside the oracle, pass by pass.
struct Course {
  const Sequence& sequence;
  CompressingKvCache& cache;
  std::vector<Positions> held;
  int64_t position = 0;

  void pass(int64_t count) {
    for (Positions& head : held) {
      for (int64_t i = 0; i < count; ++i) head.push_back(position + i);
    }
    const at::Tensor z = feed(cache, sequence, position, position + count)[0].z;
    INFO("pass at " << position);
    REQUIRE(largest_difference(z, attention_over(sequence, held, position, position + count)) <
            1e-5);
    position += count;
  }
  void evict(const std::vector<int64_t>& budgets, int64_t judging_rows) {
    for (size_t head = 0; head < held.size(); ++head) {
      held[head] =
          judge(sequence, static_cast<int64_t>(head), held[head], budgets[head], judging_rows);
    }
  }
  void check_held() const {
    for (size_t head = 0; head < held.size(); ++head) {
      INFO("head " << head << " after " << position);
      REQUIRE(cache.retained().retained_positions(0, static_cast<int64_t>(head)) == held[head]);
    }
  }
};

BudgetPlan plan_of(const Sequence& sequence, const std::vector<int64_t>& budgets) {
  BudgetPlan plan = uniform_plan("snapkv", sequence.shape, 10);
  plan.budget_tokens[0] = budgets;
  return plan;
}

TEST_CASE("a long prompt is evicted pass by pass as the rule says", "[runtime]") {
  for (const std::vector<int64_t>& budgets :
       std::vector<std::vector<int64_t>>{{30, 30}, {20, 90}}) {
    INFO("budgets " << budgets[0] << ", " << budgets[1]);
    const Sequence sequence = random_sequence(small_shape(1, 4, 2), 1, 420, 811);
    CompressingKvCache cache(plan_of(sequence, budgets), {.prefill_tokens = 60});
    Course course{sequence, cache, std::vector<Positions>(2)};
    const std::vector<int64_t> holds = {std::max<int64_t>(60, budgets[0]),
                                        std::max<int64_t>(60, budgets[1])};
    for (const int64_t count : {50, 30, 40, 64, 64, 64}) {
      course.pass(count);
      if (course.position > 60) course.evict(holds, kWindow);
      CHECK_FALSE(cache.is_compressed());
    }
    cache.expect_end_of_prompt();
    course.pass(48);
    course.evict(budgets, kWindow);
    course.check_held();
    CHECK(cache.bytes_held() == planned_kv_bytes(cache.plan(), 360, 4));
    for (int i = 0; i < 30; ++i) course.pass(1);
    course.check_held();
  }
}

TEST_CASE("generation is bounded by the budget and the decode tokens", "[runtime]") {
  for (const std::vector<int64_t>& budgets :
       std::vector<std::vector<int64_t>>{{30, 30}, {16, 40}, {200, 200}}) {
    for (const int64_t more : {1, 5, 32}) {
      INFO("budgets " << budgets[0] << ", " << budgets[1] << ", decode tokens " << more);
      const Sequence sequence = random_sequence(small_shape(1, 4, 2), 1, 420, 812);
      CompressingKvCache cache(plan_of(sequence, budgets), {.decode_tokens = more});
      Course course{sequence, cache, std::vector<Positions>(2)};
      course.pass(80);
      cache.expect_end_of_prompt();
      course.pass(40);
      course.evict(budgets, kWindow);
      course.check_held();
      while (course.position < 400) {
        course.pass(1);
        int64_t run = 1 << 20;
        bool exceeds = false;
        for (size_t head = 0; head < 2; ++head) {
          exceeds =
              exceeds || static_cast<int64_t>(course.held[head].size()) > budgets[head] + more;
        }
        if (exceeds) {
          // Only queries whose tokens every judged head still holds may judge.
          const bool alike = course.held[0].size() == course.held[1].size();
          std::vector<Positions> after;
          for (size_t head = 0; head < 2; ++head) {
            const Positions& h = course.held[head];
            int64_t own = 1;
            while (own < static_cast<int64_t>(h.size()) &&
                   h[h.size() - 1 - static_cast<size_t>(own)] == h.back() - own) {
              ++own;
            }
            run = std::min(run, own);
            if (!alike) {
              after.push_back(judge(sequence, static_cast<int64_t>(head), h, budgets[head], own));
            }
          }
          if (alike) {
            course.evict(budgets, run);
          } else {
            course.held = after;
          }
        }
        course.check_held();
        for (size_t head = 0; head < 2; ++head) {
          REQUIRE(static_cast<int64_t>(course.held[head].size()) <= budgets[head] + more);
        }
      }
      CHECK(cache.bytes_held() <=
            2 * 4 * 8 *
                (ragged_capacity(budgets[0] + more + 1) + ragged_capacity(budgets[1] + more + 1)));
    }
  }
}

TEST_CASE("a second question sees what the first one left, at the positions it had", "[runtime]") {
  const Sequence sequence = random_sequence(small_shape(1, 4, 2), 1, 300, 813);
  const std::vector<int64_t> budgets = {24, 24};
  CompressingKvCache cache(plan_of(sequence, budgets));
  Course course{sequence, cache, std::vector<Positions>(2)};
  cache.expect_end_of_prompt();
  course.pass(120);
  course.evict(budgets, kWindow);
  for (int i = 0; i < 5; ++i) course.pass(1);  // the first answer
  course.pass(30);                             // the second question, in two passes
  cache.expect_end_of_prompt();
  course.pass(20);
  for (int i = 0; i < 5; ++i) course.pass(1);
  course.check_held();
  CHECK(cache.retained().retained_positions(0, 0).size() == 24 + 60);
  CHECK(cache.next_position() == 180);
}

TEST_CASE("turns may be compressed too, each judged by its own question", "[runtime]") {
  const Sequence sequence = random_sequence(small_shape(1, 4, 2), 1, 300, 814);
  const std::vector<int64_t> budgets = {24, 40};
  CompressingKvCache cache(plan_of(sequence, budgets), {.compress_turns = true});
  Course course{sequence, cache, std::vector<Positions>(2)};
  cache.expect_end_of_prompt();
  course.pass(120);
  course.evict(budgets, kWindow);
  for (int i = 0; i < 5; ++i) course.pass(1);
  for (int turn = 0; turn < 2; ++turn) {
    course.pass(30);
    cache.expect_end_of_prompt();
    course.pass(20);
    course.evict(budgets, kWindow);
    course.check_held();
    CHECK_THROWS_WITH(cache.truncate(course.position - 1), Catch::Contains("later eviction"));
    for (int i = 0; i < 5; ++i) course.pass(1);
    course.check_held();
  }
}

TEST_CASE("streaming reads a long prompt pass by pass to the same end", "[runtime]") {
  const Sequence sequence = random_sequence(small_shape(2, 4, 2), 2, 400, 815);
  const BudgetPlan plan = uniform_plan("streaming", sequence.shape, 20);
  CompressingKvCache in_passes(plan, {.prefill_tokens = 50});
  CompressingKvCache at_once(plan);
  feed_prompt(in_passes, sequence, 380, 60);
  feed_prompt(at_once, sequence, 380, 60);
  for (int64_t layer = 0; layer < 2; ++layer) {
    for (int64_t b = 0; b < 2; ++b) {
      CHECK(in_passes.retained().retained_positions(layer, 1, b) ==
            at_once.retained().retained_positions(layer, 1, b));
    }
  }
  const auto expected = feed(at_once, sequence, 380, 381);
  const auto found = feed(in_passes, sequence, 380, 381);
  CHECK(largest_difference(expected[1].z, found[1].z) < 1e-5);
}

TEST_CASE("selector heads judge the KV head that they belong to where lengths differ",
          "[runtime]") {
  const Sequence sequence = random_sequence(small_shape(1, 4, 2), 1, 200, 816);
  BudgetPlan plan = uniform_plan("compresskv", sequence.shape, 20);
  plan.budget_tokens[0] = {16, 30};
  plan.selector_heads = {{1}};  // of KV head 0; KV head 1 has none and is judged by both of its own
  CompressingKvCache cache(plan, {.decode_tokens = 10});
  feed_prompt(cache, sequence, 120, 120);
  std::vector<Positions> held = {cache.retained().retained_positions(0, 0),
                                 cache.retained().retained_positions(0, 1)};
  for (int64_t position = 120; position < 131; ++position) {
    feed(cache, sequence, position, position + 1);
    for (Positions& head : held) head.push_back(position);
  }
  Sequence selector = sequence;  // query heads 0 and 1 both the selector's
  selector.q[0] = sequence.q[0].clone();
  selector.q[0].select(1, 0).copy_(sequence.q[0].select(1, 1));
  CHECK(cache.retained().retained_positions(0, 0) == judge(selector, 0, held[0], 16, kWindow));
  CHECK(cache.retained().retained_positions(0, 1) == judge(sequence, 1, held[1], 30, kWindow));
}

TEST_CASE("short prompts stay untouched, whatever the options", "[runtime]") {
  const Sequence sequence = random_sequence(small_shape(2, 4, 2), 1, 120, 817);
  FullKvCache full(2);
  CompressingKvCache cache(uniform_plan("snapkv", sequence.shape, 100),
                           {.prefill_tokens = 10, .decode_tokens = 50, .compress_turns = true});
  const auto compare = [](const auto& a, const auto& b) {
    REQUIRE(at::equal(a[0].z, b[0].z));
    REQUIRE(at::equal(a[1].z, b[1].z));
  };
  compare(feed_prompt(full, sequence, 60, 20), feed_prompt(cache, sequence, 60, 20));
  for (int64_t position = 60; position < 100; ++position) {
    compare(feed(full, sequence, position, position + 1),
            feed(cache, sequence, position, position + 1));
  }
  CHECK_FALSE(cache.retained().is_evicted(1));
}

TEST_CASE("the method full evicts nothing, whatever the options", "[runtime]") {
  const Sequence sequence = random_sequence(small_shape(1, 4, 2), 1, 120, 818);
  CompressingKvCache cache(uniform_plan("full", sequence.shape, 1),
                           {.prefill_tokens = 10, .decode_tokens = 5, .compress_turns = true});
  feed_prompt(cache, sequence, 60, 20);
  for (int64_t position = 60; position < 100; ++position) {
    feed(cache, sequence, position, position + 1);
  }
  CHECK(cache.retained().retained_positions(0, 0).size() == 100);
}

TEST_CASE("compressor options below 0 are refused", "[runtime]") {
  const BudgetPlan plan = uniform_plan("snapkv", small_shape(1, 4, 2), 10);
  CHECK_THROWS_AS(make_cache(plan, {.prefill_tokens = -1}), InputError);
  CHECK_THROWS_AS(make_cache(plan, {.decode_tokens = -1}), InputError);
}

}  // namespace
}  // namespace headscope::runtime
