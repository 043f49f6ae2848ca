#include <array>

#include "kernels/aten_ops.h"
#include "kernels/ops.h"
#include "tests/kernels/variants.h"

namespace headscope::kernels {
namespace {

at::Tensor importance(const Variant& variant,
                      const at::Tensor& q,
                      const at::Tensor& k,
                      double scale,
                      std::span<const int64_t> heads,
                      const WindowImportanceOptions& options,
                      const std::optional<at::Tensor>& lse) {
  return variant.aten() ? window_importance_aten(q, k, scale, heads, options, lse)
                        : window_importance(q, k, scale, heads, options, lse);
}

// float64 scores [Hq, S - w] of one sequence, before pooling.
at::Tensor oracle_importance(const at::Tensor& weight, int64_t w, WindowReduction reduction) {
  const at::Tensor seen = weight.slice(-1, 0, weight.size(-1) - w);
  if (reduction == WindowReduction::kMean) return seen.mean(1);
  if (reduction == WindowReduction::kSquare) return seen.square().sum(1);
  return seen.sum(1);
}

// Pooling written out: zero outside, the padding counted.
at::Tensor oracle_pool(const at::Tensor& scores, WindowPooling pooling, int64_t kernel) {
  if (pooling == WindowPooling::kNone || scores.numel() == 0) return scores;
  const at::Tensor padded = at::constant_pad_nd(scores, {kernel / 2, kernel / 2});
  const at::Tensor windows = padded.unfold(-1, kernel, 1);
  return pooling == WindowPooling::kAverage ? windows.mean(-1) : windows.amax(-1);
}

void importance_body(const Variant& variant) {
  at::manual_seed(kSeed);
  const std::array<WindowImportanceOptions, 4> choices{{
      {WindowReduction::kSum, WindowPooling::kNone, 1},
      {WindowReduction::kSum, WindowPooling::kAverage, 5},
      {WindowReduction::kMean, WindowPooling::kMax, 7},
      {WindowReduction::kSquare, WindowPooling::kNone, 1},
  }};
  size_t turn = 0;
  for (const HeadShape& s : head_shapes(variant)) {
    for (const auto& [w, num_keys] :
         {std::pair<int64_t, int64_t>{8, 163}, {1, 40}, {5, 5}, {17, 700}}) {
      const WindowImportanceOptions& options = choices[turn++ % choices.size()];
      INFO(describe(s) << ", w " << w << ", S " << num_keys << ", options " << turn << ", seed "
                       << kSeed);
      const int64_t hq = s.num_kv_heads * s.group;
      const at::Tensor q = variant.to_device(normal({2, hq, w, s.head_dim}, s.dtype));
      const at::Tensor k =
          variant.to_device(normal({2, s.num_kv_heads, num_keys + 3, s.head_dim}, s.dtype))
              .slice(2, 0, num_keys);
      const double scale = peaked_scale(s.head_dim);
      std::vector<at::Tensor> want, lse;
      for (int64_t b = 0; b < 2; ++b) {
        const at::Tensor logits = oracle_logits(q[b], k[b], scale, num_keys - w);
        lse.push_back(logits.logsumexp({-1}));
        want.push_back(oracle_pool(oracle_importance(logits.softmax(-1), w, options.reduction),
                                   options.pooling, options.pooling_kernel));
      }
      const at::Tensor known = variant.to_device(at::stack(lse).to(at::kFloat));
      const at::Tensor all = at::stack(want);
      CHECK(largest_gap(importance(variant, q, k, scale, {}, options, std::nullopt), all) <
            float_tolerance(variant, s.dtype));
      CHECK(largest_gap(importance(variant, q, k, scale, {}, options, known), all) <
            float_tolerance(variant, s.dtype));
      const std::vector<int64_t> heads{hq - 1, 0, hq / 2, 0};  // any order, one twice
      const at::Tensor some = all.index_select(1, at::tensor(heads));
      CHECK(largest_gap(importance(variant, q, k, scale, heads, options, std::nullopt), some) <
            float_tolerance(variant, s.dtype));
      CHECK(largest_gap(importance(variant, q, k, scale, heads, options, known), some) <
            float_tolerance(variant, s.dtype));
    }
  }
}
KERNEL_TEST_CASES("window importance equals float64", importance_body)

// Rows come in two chunks, as a prompt does.
void received_body(const Variant& variant) {
  at::manual_seed(kSeed);
  for (const HeadShape& s : head_shapes(variant)) {
    for (const int64_t window : {0, 1, 40}) {
      constexpr int64_t kKeys = 163;
      constexpr int64_t kFirstChunk = 90;
      INFO(describe(s) << ", window " << window << ", seed " << kSeed);
      const int64_t hq = s.num_kv_heads * s.group;
      const at::Tensor q = variant.to_device(normal({2, hq, kKeys, s.head_dim}, s.dtype));
      const at::Tensor k =
          variant.to_device(normal({2, s.num_kv_heads, kKeys, s.head_dim}, s.dtype));
      const double scale = peaked_scale(s.head_dim);
      std::vector<at::Tensor> lse, want;
      for (int64_t b = 0; b < 2; ++b) {
        const at::Tensor logits = oracle_logits(q[b], k[b], scale, 0, window);
        lse.push_back(logits.logsumexp({-1}));
        want.push_back(logits.softmax(-1).sum(1));
      }
      const at::Tensor known = variant.to_device(at::stack(lse).to(at::kFloat));
      const auto received = [&](int64_t begin, int64_t end) {
        const at::Tensor rows = q.slice(2, begin, end), keys = k.slice(2, 0, end);
        const at::Tensor row_lse = known.slice(2, begin, end);
        return variant.aten() ? attention_received_aten(rows, keys, row_lse, scale, window)
                              : attention_received(rows, keys, row_lse, scale, window);
      };
      at::Tensor sum = received(kFirstChunk, kKeys);
      sum.slice(-1, 0, kFirstChunk).add_(received(0, kFirstChunk));
      // Sums of up to 163 weights.
      CHECK(largest_gap(sum, at::stack(want)) < 10 * kFloatTolerance);
    }
  }
}
OP_TEST_CASES("attention received by keys equals float64, chunk by chunk", received_body)

void spans_body(const Variant& variant) {
  at::manual_seed(kSeed);
  for (const HeadShape& s : head_shapes(variant)) {
    for (const auto& [n, first] : {std::pair<int64_t, int64_t>{1, 0}, {1, 300}, {40, 200}}) {
      INFO(describe(s) << ", n " << n << ", first position " << first << ", seed " << kSeed);
      const int64_t num_keys = first + n + 5;  // keys behind the last row's position
      const at::Tensor q =
          variant.to_device(normal({s.num_kv_heads * s.group, n, s.head_dim}, s.dtype));
      const at::Tensor k =
          variant.to_device(normal({s.num_kv_heads, num_keys, s.head_dim}, s.dtype));
      const double scale = peaked_scale(s.head_dim);
      const std::vector<KeySpan> spans{
          {0, first + n},      {0, 1}, {3, 3}, {first / 2, first}, {first, num_keys},
          {num_keys, num_keys}};
      const at::Tensor logits = oracle_logits(q, k, scale, first);
      const at::Tensor weight = logits.softmax(-1);
      std::vector<at::Tensor> want;
      for (const KeySpan& span : spans)
        want.push_back(weight.slice(-1, span.begin, span.end).sum(-1));
      const at::Tensor expected = at::stack(want, -1);
      const at::Tensor lse = variant.to_device(logits.logsumexp({-1}).to(at::kFloat));
      for (const std::optional<at::Tensor>& known :
           {std::optional<at::Tensor>(), std::optional(lse)}) {
        const at::Tensor got = variant.aten()
                                   ? span_attention_aten(q, k, scale, first, spans, known)
                                   : span_attention(q, k, scale, first, spans, known);
        CHECK(largest_gap(got, expected) < float_tolerance(variant, s.dtype));
      }
      CHECK(largest_gap(expected.select(-1, 0), at::ones({q.size(0), n})) < 1e-12);
    }
  }
}
KERNEL_TEST_CASES("span attention equals float64 with and without the log-sum-exp", spans_body)

void top_body(const Variant& variant) {
  at::manual_seed(kSeed);
  for (const HeadShape& s : head_shapes(variant)) {
    INFO(describe(s) << ", seed " << kSeed);
    const int64_t n = 3, first = 290, top_n = 6;
    const at::Tensor q =
        variant.to_device(normal({s.num_kv_heads * s.group, n, s.head_dim}, s.dtype));
    const at::Tensor k = variant.to_device(normal({s.num_kv_heads, 400, s.head_dim}, s.dtype));
    const double scale = peaked_scale(s.head_dim);
    const at::Tensor logits = oracle_logits(q, k, scale, first);
    const at::Tensor lse = variant.to_device(logits.logsumexp({-1}).to(at::kFloat));
    const at::Tensor weight = logits.softmax(-1);
    const at::Tensor best = std::get<0>(weight.topk(top_n, -1));
    for (const std::optional<at::Tensor>& known :
         {std::optional<at::Tensor>(), std::optional(lse)}) {
      const TopAttended got = variant.aten() ? top_attended_aten(q, k, scale, first, top_n, known)
                                             : top_attended(q, k, scale, first, top_n, known);
      CHECK(largest_gap(got.weight, best) < float_tolerance(variant, s.dtype));
      // By weight rather than by number: two keys may be closer than float32 can tell.
      CHECK(largest_gap(weight.gather(-1, got.position.cpu()), best) <
            float_tolerance(variant, s.dtype));
    }
  }
}
KERNEL_TEST_CASES("the most attended keys equal float64", top_body)

void top_ties_body(const Variant& variant) {
  // Keys 1, 3 and 4 are alike, the others opposite; the row sits at position 4 of 6 keys.
  const at::Tensor k = variant.to_device(at::tensor({-1.0f, 1.0f, -1.0f, 1.0f, 1.0f, 9.0f})
                                             .view({1, 6, 1})
                                             .expand({1, 6, 8})
                                             .contiguous());
  const at::Tensor q = variant.to_device(at::ones({1, 1, 8}));
  const auto top = [&](int64_t top_n) {
    return variant.aten() ? top_attended_aten(q, k, 0.25, 4, top_n, std::nullopt)
                          : top_attended(q, k, 0.25, 4, top_n);
  };
  CHECK(at::equal(top(2).position.cpu().flatten(), at::tensor({1, 3}, at::kLong)));
  const TopAttended all = top(7);
  CHECK(at::equal(all.position.cpu().flatten(), at::tensor({1, 3, 4, 0, 2, -1, -1}, at::kLong)));
  // Worked by hand: logits 2 (three times) and -2 (twice).
  const double high = std::exp(2.0) / (3 * std::exp(2.0) + 2 * std::exp(-2.0));
  CHECK(all.weight.cpu().flatten()[0].item<double>() == Approx(high));
  CHECK(all.weight.cpu().flatten()[6].item<double>() == 0.0);
}
KERNEL_TEST_CASES("ties go to the lower position and missing keys are -1", top_ties_body)

void strided_body(const Variant& variant) {
  // Keys with head_dim outermost, as a transposed cache has them, and queries behind one another.
  at::manual_seed(kSeed);
  const at::Tensor k = variant.to_device(normal({2, 24, 150})).transpose(1, 2);
  const at::Tensor q = variant.to_device(normal({9, 4, 24})).transpose(0, 1);
  const double scale = peaked_scale(24);
  const std::vector<KeySpan> spans{{3, 40}};
  const at::Tensor flat_k = k.contiguous(), flat_q = q.contiguous();
  CHECK(largest_gap(span_attention(q, k, scale, 100, spans),
                    span_attention(flat_q, flat_k, scale, 100, spans)) == 0.0);
  CHECK(largest_gap(top_attended(q, k, scale, 100, 5).weight,
                    top_attended(flat_q, flat_k, scale, 100, 5).weight) == 0.0);
  const auto importance_of = [&](const at::Tensor& rows, const at::Tensor& keys) {
    return importance(variant, rows.unsqueeze(0), keys.unsqueeze(0), scale, {}, {}, std::nullopt);
  };
  CHECK(largest_gap(importance_of(q, k), importance_of(flat_q, flat_k)) < kFloatTolerance);
}
KERNEL_TEST_CASES("scoring reads strided views", strided_body)

void wide_window_body(const Variant& variant) {
  // More window rows than a block holds, and more keys than one chunk: weights of several tiles are
  // brought to one log-sum-exp.
  at::manual_seed(kSeed);
  const int64_t w = variant.emulated() ? 16 : 64, num_keys = variant.emulated() ? 600 : 2500;
  const at::Tensor q = variant.to_device(normal({1, 8, w, 64}));
  const at::Tensor k = variant.to_device(normal({1, 2, num_keys, 64}));
  const double scale = 3.0 * peaked_scale(64);  // maxima that move from tile to tile
  const at::Tensor weight = oracle_logits(q[0], k[0], scale, num_keys - w).softmax(-1);
  for (const WindowReduction reduction : {WindowReduction::kSum, WindowReduction::kSquare}) {
    const at::Tensor got = importance(variant, q, k, scale, {}, {reduction}, std::nullopt)[0];
    CHECK(largest_gap(got, oracle_importance(weight, w, reduction)) < 5 * kFloatTolerance);
  }
}
KERNEL_TEST_CASES("wide windows over many tiles equal float64", wide_window_body)

TEST_CASE("scoring refuses what it cannot mean", "[kernels]") {
  const at::Tensor q = at::zeros({1, 2, 4, 8}), k = at::zeros({1, 1, 9, 8});
  CHECK_THROWS_WITH(
      window_importance(q, k, 1.0, {}, {WindowReduction::kSum, WindowPooling::kMax, 4}),
      Catch::StartsWith("options.pooling_kernel"));
  const std::vector<int64_t> heads{2};
  CHECK_THROWS_WITH(window_importance(q, k, 1.0, heads, {}), Catch::StartsWith("heads"));
  CHECK_THROWS_WITH(window_importance(q, k, 1.0, {}, {}, at::zeros({1, 2, 3})),
                    Catch::StartsWith("lse"));
  const std::vector<KeySpan> beyond{{0, 10}};
  CHECK_THROWS_WITH(span_attention(q[0], k[0], 1.0, 0, beyond), Catch::StartsWith("spans"));
  CHECK_THROWS_WITH(span_attention(q[0], k[0], 1.0, 6, {}), Catch::StartsWith("first_position"));
}

}  // namespace
}  // namespace headscope::kernels
