#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/aten_ops.h"
#include "kernels/ops.h"
#include "tests/kernels/variants.h"

namespace headscope::kernels {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<at::Tensor> select(const Variant& variant,
                               const at::Tensor& scores,
                               const std::vector<int64_t>& count) {
  return variant.aten() ? select_retained_aten(scores, count) : select_retained(scores, count);
}

// A full stable sort: NaN last, then the higher score, then the lower position.
at::Tensor oracle_select(const at::Tensor& row, int64_t count) {
  const at::Tensor values = row.cpu().contiguous();
  const float* score = values.const_data_ptr<float>();
  std::vector<int64_t> order(static_cast<size_t>(row.numel()));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    if (std::isnan(score[a]) || std::isnan(score[b]))
      return !std::isnan(score[a]) && std::isnan(score[b]);
    return score[a] > score[b];
  });
  order.resize(static_cast<size_t>(std::min(count, row.numel())));
  std::sort(order.begin(), order.end());
  return at::tensor(order, at::kLong);
}

void select_body(const Variant& variant) {
  at::manual_seed(kSeed);
  const int64_t long_row = variant.emulated() ? 17001 : 70001;
  // Heavy-tailed as attention is, coarse (many ties), sorted against the sampling, and with NaN.
  std::vector<at::Tensor> inputs{
      at::randn({3, 513}).exp(), at::randn({3, long_row}).mul(4.0).exp(),
      at::randint(0, 7, {3, long_row}).to(at::kFloat),
      at::zeros({3, long_row}),  // one spike between two samples is all there is
      at::arange(3 * long_row).view({3, long_row}).to(at::kFloat)};
  inputs[3].select(1, 17).fill_(1.0);
  inputs.push_back(inputs[1].clone());
  inputs.back().slice(1, 0, long_row, 2).fill_(kNan);
  inputs.push_back(at::full({3, 20}, kNan));
  for (size_t i = 0; i < inputs.size(); ++i) {
    const at::Tensor scores = variant.to_device(inputs[i]);
    const int64_t n = scores.size(1);
    for (const std::vector<int64_t>& count :
         {std::vector<int64_t>{0, 1, 17}, {256, 1024, 4000}, {n / 2, n - 1, n + 5}}) {
      INFO("input " << i << ", counts from " << count[0] << ", seed " << kSeed);
      const std::vector<at::Tensor> got = select(variant, scores, count);
      REQUIRE(got.size() == 3);
      for (size_t r = 0; r < 3; ++r) {
        CHECK(at::equal(got[r].cpu(), oracle_select(inputs[i][static_cast<int64_t>(r)], count[r])));
      }
    }
  }
  // Two values and a mass of ties: the guessed bar lets half of the row through.
  const at::Tensor flat = at::randint(0, 2, {1, long_row}).to(at::kFloat);
  CHECK(at::equal(select(variant, variant.to_device(flat), {900})[0].cpu(),
                  oracle_select(flat[0], 900)));
  // Negative scores below every sample but a few.
  const at::Tensor negative = -at::randn({1, long_row}).exp();
  CHECK(at::equal(select(variant, variant.to_device(negative), {3000})[0].cpu(),
                  oracle_select(negative[0], 3000)));
  // One row, shared by threads or blocks.
  for (const int64_t n : {20011, variant.emulated() ? 70001 : 400003}) {
    const at::Tensor one = variant.to_device(at::randn({1, n}));
    CHECK(at::equal(select(variant, one, {1000})[0].cpu(), oracle_select(one[0], 1000)));
  }
}
KERNEL_TEST_CASES("selection equals a full sort", select_body)

void select_by_hand_body(const Variant& variant) {
  const at::Tensor scores = variant.to_device(
      at::tensor({2.0f, kNan, 5.0f, 2.0f, -kInfinity, 2.0f, kInfinity, -0.0f, 0.0f}).view({1, 9}));
  const auto kept = [&](int64_t count) { return select(variant, scores, {count})[0].cpu(); };
  CHECK(kept(0).numel() == 0);
  CHECK(at::equal(kept(1), at::tensor({6}, at::kLong)));
  CHECK(at::equal(kept(4), at::tensor({0, 2, 3, 6}, at::kLong)));        // 2.0 at 5 loses the tie
  CHECK(at::equal(kept(6), at::tensor({0, 2, 3, 5, 6, 7}, at::kLong)));  // -0 equals 0
  CHECK(at::equal(kept(8), at::tensor({0, 2, 3, 4, 5, 6, 7, 8}, at::kLong)));  // NaN below -inf
}
KERNEL_TEST_CASES("selection ranks ties, NaN and both zeros as documented", select_by_hand_body)

void compact_body(const Variant& variant) {
  at::manual_seed(kSeed);
  const auto compact = [&](const at::Tensor& source, const at::Tensor& positions,
                           const at::Tensor& target, int64_t offset) {
    variant.aten() ? compact_kv_aten(source, positions, target, offset)
                   : compact_kv(source, positions, target, offset);
  };
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    for (const int64_t d : {8, 20, 128}) {
      INFO(c10::toString(dtype) << ", head_dim " << d << ", seed " << kSeed);
      const at::Tensor positions =
          variant.to_device(std::get<0>(at::randperm(3000).slice(0, 0, 1200).sort()));
      // One head of a cache: rows of a larger allocation.
      const at::Tensor source = variant.to_device(normal({2, 3005, d}, dtype))[1].slice(0, 0, 3000);
      const at::Tensor want = source.index_select(0, positions);
      const at::Tensor target = at::zeros({1300, d}, source.options());
      compact(source, positions, target, 7);
      CHECK(at::equal(target.slice(0, 7, 1207), want));
      CHECK(target.slice(0, 0, 7).abs().sum().item<double>() == 0.0);
      CHECK(target.slice(0, 1207).abs().sum().item<double>() == 0.0);
      // Rows with a gap between them.
      const at::Tensor wide = at::zeros({1300, d + 4}, source.options()).slice(1, 0, d);
      compact(source, positions, wide, 0);
      CHECK(at::equal(wide.slice(0, 0, 1200), want));
      // In place.
      compact(source, positions, source, 0);
      CHECK(at::equal(source.slice(0, 0, 1200), want));
      compact(source, positions.slice(0, 0, 0), source, 0);
      // In place, every row onto its neighbour.
      const at::Tensor all_but_first = variant.to_device(at::arange(1, 3000));
      const at::Tensor shifted = source.slice(0, 1).clone();
      compact(source, all_but_first, source, 0);
      CHECK(at::equal(source.slice(0, 0, 2999), shifted));
    }
  }
}
KERNEL_TEST_CASES("compaction moves whole rows, also in place", compact_body)

void compact_layer_body(const Variant& variant) {
  at::manual_seed(kSeed);
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    for (const int64_t d : {8, 20, 128}) {
      INFO(c10::toString(dtype) << ", head_dim " << d << ", seed " << kSeed);
      // Three sequences of two KV heads in a cache with room behind; every row keeps another number
      // of positions, the third none, the last two share theirs.
      const at::Tensor source = variant.to_device(normal({3, 2, 905, d}, dtype)).slice(2, 0, 900);
      std::vector<at::Tensor> positions;
      for (const int64_t kept : {900, 1, 0, 311, 77}) {
        positions.push_back(
            variant.to_device(std::get<0>(at::randperm(900).slice(0, 0, kept).sort())));
      }
      positions.push_back(positions.back());
      std::vector<int64_t> offset;
      int64_t slots = 4;
      for (const at::Tensor& p : positions) {
        offset.push_back(slots);
        slots += p.size(0) + 3;
      }
      const at::Tensor target = at::zeros({slots, d}, source.options());
      compact_layer_kv(source, positions, target, offset);
      at::Tensor want = at::zeros_like(target);
      for (int64_t r = 0; r < 6; ++r) {
        const auto i = static_cast<size_t>(r);
        want.narrow(0, offset[i], positions[i].size(0))
            .copy_(source[r / 2][r % 2].index_select(0, positions[i]));
      }
      CHECK(at::equal(target, want));
    }
  }
}
KERNEL_TEST_CASES("a layer's compaction moves every row's positions and nothing else",
                  compact_layer_body)

TEST_CASE("a layer's compaction refuses what does not fit", "[kernels]") {
  const at::Tensor source = at::zeros({1, 2, 4, 8}), target = at::zeros({5, 8});
  const at::Tensor two = at::tensor({0, 3}, at::kLong), wrong = at::tensor({0, 4}, at::kLong);
  const auto compact = [&](std::vector<at::Tensor> positions, std::vector<int64_t> offset) {
    compact_layer_kv(source, positions, target, offset);
  };
  CHECK_THROWS_WITH(compact({two}, {0, 2}), Catch::StartsWith("positions"));
  CHECK_THROWS_WITH(compact({two, two}, {0}), Catch::StartsWith("target_offset"));
  CHECK_THROWS_WITH(compact({two, two}, {0, 4}), Catch::StartsWith("target_offset"));
  CHECK_THROWS_WITH(compact({two, wrong}, {0, 2}),
                    Catch::StartsWith("positions") && Catch::Contains("0 .. 3"));
  const std::vector<at::Tensor> positions{two, two};
  const std::vector<int64_t> offset{0, 2};
  CHECK_THROWS_WITH(compact_layer_kv(source, positions, source.view({8, 8}), offset),
                    Catch::StartsWith("target"));
}

TEST_CASE("compaction refuses positions outside the source", "[kernels]") {
  const at::Tensor rows = at::zeros({4, 8});
  CHECK_THROWS_WITH(compact_kv(rows, at::tensor({1, 4}, at::kLong), rows, 0),
                    Catch::StartsWith("positions"));
  CHECK_THROWS_WITH(compact_kv(rows, at::tensor({2, 1}, at::kLong), rows, 0),
                    Catch::StartsWith("positions"));
  CHECK_THROWS_WITH(compact_kv(rows, at::tensor({0, 1}, at::kLong), rows, 3),
                    Catch::StartsWith("target_offset"));
}

// float64: softmax over exactly the kept keys, for every budget on its own.
at::Tensor oracle_curve(const at::Tensor& q,
                        const at::Tensor& k,
                        const at::Tensor& v,
                        double scale,
                        int64_t first,
                        const at::Tensor& order,
                        const std::vector<int64_t>& cuts,
                        int64_t tail_begin) {
  const int64_t group = q.size(0) / k.size(0);
  const at::Tensor logits = oracle_logits(q, k, scale, first);
  const at::Tensor values = v.cpu().to(at::kDouble).repeat_interleave(group, 0);
  std::vector<at::Tensor> out;
  for (const int64_t cut : cuts) {
    at::Tensor kept = at::zeros({k.size(0), k.size(1)}, at::kBool);
    kept.slice(1, tail_begin).fill_(true);
    kept.scatter_(1, order.cpu().slice(1, 0, cut), true);
    const at::Tensor mask = kept.repeat_interleave(group, 0).unsqueeze(1);
    const at::Tensor weight =
        logits.masked_fill(mask.logical_not(), -std::numeric_limits<double>::infinity())
            .softmax(-1);
    out.push_back(at::einsum("hns,hsd->hnd", {weight, values}));
  }
  return at::stack(out);
}

void curve_body(const Variant& variant) {
  at::manual_seed(kSeed);
  for (const HeadShape& s : head_shapes(variant)) {
    for (const auto& [n, gap] : {std::pair<int64_t, int64_t>{1, 0}, {19, 8}}) {
      INFO(describe(s) << ", n " << n << ", seed " << kSeed);
      const int64_t tail_begin = 400, first = tail_begin + gap, num_keys = first + n + 2;
      const at::Tensor q =
          variant.to_device(normal({s.num_kv_heads * s.group, n, s.head_dim}, s.dtype));
      const at::Tensor k =
          variant.to_device(normal({s.num_kv_heads, num_keys, s.head_dim}, s.dtype));
      const at::Tensor v =
          variant.to_device(normal({s.num_kv_heads, num_keys, s.head_dim}, s.dtype));
      const at::Tensor order =
          variant.to_device(at::rand({s.num_kv_heads, tail_begin}).argsort().slice(1, 0, 391));
      const std::vector<int64_t> cuts{0, 1, 24, 24, 150, 391};
      const double scale = peaked_scale(s.head_dim);
      const at::Tensor got = variant.aten()
                                 ? error_curve_aten(q, k, v, scale, first, order, cuts, tail_begin)
                                 : error_curve(q, k, v, scale, first, order, cuts, tail_begin);
      CHECK(largest_gap(got, oracle_curve(q, k, v, scale, first, order, cuts, tail_begin)) <
            float_tolerance(variant, s.dtype));
    }
  }
}
KERNEL_TEST_CASES("the error curve equals float64 at every budget", curve_body)

TEST_CASE("a budget of every key gives full attention", "[kernels]") {
  at::manual_seed(kSeed);
  const at::Tensor q = normal({4, 5, 16}), k = normal({2, 65, 16}), v = normal({2, 65, 16});
  const at::Tensor order = at::arange(60).flip(0).expand({2, 60});
  const std::vector<int64_t> cuts{60};
  const at::Tensor got = error_curve(q, k, v, 0.5, 60, order, cuts, 60)[0];
  const AttentionResult full =
      causal_attention(q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0), 0.5);
  CHECK(largest_gap(got, full.z[0]) < 2e-6);
  const std::vector<int64_t> descending{5, 4};
  CHECK_THROWS_WITH(error_curve(q, k, v, 0.5, 60, order, descending, 60),
                    Catch::StartsWith("cuts"));
  CHECK_THROWS_WITH(error_curve(q, k, v, 0.5, 60, order, cuts, 59), Catch::StartsWith("order"));
}

}  // namespace
}  // namespace headscope::kernels
