#include "kernels/aten_ops.h"
#include "kernels/ops.h"
#include "tests/kernels/variants.h"

namespace headscope::kernels {
namespace {

struct Expected {
  at::Tensor z;    // [B, Hq, n, d] float64
  at::Tensor lse;  // [B, Hq, n] float64
};

Expected oracle_attention(
    const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double scale, int64_t window) {
  std::vector<at::Tensor> z, lse;
  for (int64_t b = 0; b < q.size(0); ++b) {
    const at::Tensor logits = oracle_logits(q[b], k[b], scale, k.size(2) - q.size(2), window);
    const at::Tensor values =
        v[b].cpu().to(at::kDouble).repeat_interleave(q.size(1) / k.size(1), 0);
    z.push_back(at::einsum("hns,hsd->hnd", {logits.softmax(-1), values}));
    lse.push_back(logits.logsumexp({-1}));
  }
  return {at::stack(z), at::stack(lse)};
}

AttentionResult attend(const Variant& variant,
                       const at::Tensor& q,
                       const at::Tensor& k,
                       const at::Tensor& v,
                       double scale,
                       int64_t window) {
  return variant.aten() ? causal_attention_aten(q, k, v, scale, window)
                        : causal_attention(q, k, v, scale, window);
}

void check_attention(
    const Variant& variant, const HeadShape& s, int64_t n, int64_t num_keys, int64_t window) {
  INFO(describe(s) << ", n " << n << ", S " << num_keys << ", window " << window << ", seed "
                   << kSeed);
  const int64_t hq = s.num_kv_heads * s.group;
  const at::Tensor q = variant.to_device(normal({2, hq, n, s.head_dim}, s.dtype));
  // Keys and values as a cache holds them: a view of a larger allocation.
  const at::Tensor storage =
      variant.to_device(normal({2, 2, s.num_kv_heads, num_keys + 9, s.head_dim}, s.dtype));
  const at::Tensor k = storage[0].slice(2, 0, num_keys), v = storage[1].slice(2, 0, num_keys);
  const double scale = peaked_scale(s.head_dim);
  const AttentionResult got = attend(variant, q, k, v, scale, window);
  const Expected want = oracle_attention(q, k, v, scale, window);
  CHECK(got.z.scalar_type() == s.dtype);
  CHECK(got.lse.scalar_type() == at::kFloat);
  CHECK(largest_gap(got.z, want.z) < output_tolerance(s.dtype, v));
  // LibTorch's flash kernel, which takes long blocks of bfloat16 rows there, has a shorter
  // exponential.
  const bool may_be_flash = variant.amx() && s.dtype == at::kBFloat16 && n >= 128;
  CHECK(largest_gap(got.lse, want.lse) < (may_be_flash ? 1e-4 : kFloatTolerance));
}

void attention_body(const Variant& variant) {
  at::manual_seed(kSeed);
  for (const HeadShape& s : head_shapes(variant)) {
    check_attention(variant, s, 1, 1, 0);      // a first token
    check_attention(variant, s, 1, 301, 0);    // decode
    check_attention(variant, s, 67, 67, 0);    // prefill
    check_attention(variant, s, 37, 150, 0);   // a chunk
    check_attention(variant, s, 3, 140, 0);    // a few tokens
    check_attention(variant, s, 37, 150, 20);  // sliding window
    check_attention(variant, s, 1, 150, 20);
    check_attention(variant, s, 37, 37, 500);  // a window wider than the context
  }
  const HeadShape wide{1, 100, 8, at::kFloat};  // a group larger than a block of rows
  check_attention(variant, wide, 2, 40, 0);
  const HeadShape one{1, 3, 64, at::kFloat};  // several blocks of rows, splits of keys
  check_attention(variant, one, 1, 2500, 0);
  check_attention(variant, one, 130, 700, 260);
  const HeadShape narrow{2, 3, 64, at::kBFloat16};  // blocks that another kernel may take
  check_attention(variant, narrow, 160, 160, 0);
  check_attention(variant, narrow, 140, 400, 0);
}
OP_TEST_CASES("causal attention and its log-sum-exp equal float64", attention_body)

// Enough rows for the largest blocks, and bounds that cut through their chunks.
void many_rows_body(const Variant& variant) {
  at::manual_seed(kSeed);
  for (const at::ScalarType dtype : {at::kFloat, at::kHalf, at::kBFloat16}) {
    const HeadShape shape{1, 4, 20, dtype};
    check_attention(variant, shape, 1300, 1350, 0);
    check_attention(variant, shape, 1300, 1350, 70);
  }
}
OP_TEST_CASES("attention in the largest blocks of rows equals float64", many_rows_body)

void full_attention_body(const Variant& variant) {
  at::manual_seed(kSeed);
  for (const HeadShape& s : head_shapes(variant)) {
    // Many rows and few keys too: nothing ties their numbers here.
    for (const auto& [n, num_keys] : {std::pair<int64_t, int64_t>{1, 1}, {90, 7}, {37, 700}}) {
      INFO(describe(s) << ", n " << n << ", S " << num_keys << ", seed " << kSeed);
      const int64_t hq = s.num_kv_heads * s.group;
      const at::Tensor q = variant.to_device(normal({2, hq, n, s.head_dim}, s.dtype));
      const at::Tensor storage =
          variant.to_device(normal({2, 2, s.num_kv_heads, num_keys + 9, s.head_dim}, s.dtype));
      const at::Tensor k = storage[0].slice(2, 0, num_keys), v = storage[1].slice(2, 0, num_keys);
      const double scale = peaked_scale(s.head_dim);
      const AttentionResult got =
          variant.aten() ? full_attention_aten(q, k, v, scale) : full_attention(q, k, v, scale);
      std::vector<at::Tensor> z, lse;
      for (int64_t b = 0; b < 2; ++b) {
        // Rows behind all keys see them all.
        const at::Tensor logits = oracle_logits(q[b], k[b], scale, num_keys, 0);
        const at::Tensor values = v[b].cpu().to(at::kDouble).repeat_interleave(s.group, 0);
        z.push_back(at::einsum("hns,hsd->hnd", {logits.softmax(-1), values}));
        lse.push_back(logits.logsumexp({-1}));
      }
      CHECK(got.z.scalar_type() == s.dtype);
      CHECK(largest_gap(got.z, at::stack(z)) < output_tolerance(s.dtype, v));
      CHECK(largest_gap(got.lse, at::stack(lse)) < kFloatTolerance);
    }
  }
}
OP_TEST_CASES("full attention and its log-sum-exp equal float64", full_attention_body)

TEST_CASE("full attention by blocks of rows gives each row what it gets alone", "[kernels]") {
  at::manual_seed(kSeed);
  INFO("seed " << kSeed);
  constexpr int64_t kManyRows = 2200, kManyKeys = 4000;  // logits of two heads: more than a block
  static_assert(2 * kManyRows * kManyKeys > kAtenBlockElements);
  const at::Tensor q = normal({1, 2, kManyRows, 8}, at::kFloat);
  const at::Tensor k = normal({1, 1, kManyKeys, 8}, at::kFloat);
  const at::Tensor v = normal({1, 1, kManyKeys, 8}, at::kFloat);
  const AttentionResult all = full_attention_aten(q, k, v, 0.4);
  const AttentionResult last = full_attention_aten(q.slice(2, kManyRows - 30), k, v, 0.4);
  CHECK(largest_gap(all.z.slice(2, kManyRows - 30), last.z) < kFloatTolerance);
  CHECK(largest_gap(all.lse.slice(2, kManyRows - 30), last.lse) < kFloatTolerance);
}

void strided_query_body(const Variant& variant) {
  at::manual_seed(kSeed);
  // q as a decoder has it, [B, n, Hq, d] transposed, and values whose last stride is not 1.
  const at::Tensor q = variant.to_device(normal({1, 5, 4, 16})).transpose(1, 2);
  const at::Tensor k = variant.to_device(normal({1, 23, 2, 16})).transpose(1, 2);
  const at::Tensor v = variant.to_device(normal({1, 2, 16, 23})).transpose(2, 3);
  const AttentionResult got = attend(variant, q, k, v, 0.5, 0);
  const Expected want = oracle_attention(q, k, v, 0.5, 0);
  CHECK(largest_gap(got.z, want.z) < kFloatTolerance);
  CHECK(largest_gap(got.lse, want.lse) < kFloatTolerance);
}
OP_TEST_CASES("causal attention reads strided views", strided_query_body)

void ragged_body(const Variant& variant) {
  at::manual_seed(kSeed);
  for (const HeadShape& s : head_shapes(variant)) {
    for (const int64_t n : {1, 4}) {
      INFO(describe(s) << ", n " << n << ", seed " << kSeed);
      const int64_t batch = 2, rows = batch * s.num_kv_heads, hq = s.num_kv_heads * s.group;
      RaggedKv kv;
      int64_t slots = 3;
      const std::vector<int64_t> lengths{n, 131, 700, 29};
      for (int64_t r = 0; r < rows; ++r) {
        kv.offset.push_back(slots);
        kv.length.push_back(lengths[static_cast<size_t>(r)]);
        slots += kv.length.back() + r;  // slack behind a row
      }
      kv.keys = variant.to_device(normal({slots, s.head_dim}, s.dtype));
      kv.values = variant.to_device(normal({slots, s.head_dim}, s.dtype));
      const at::Tensor q = variant.to_device(normal({batch, hq, n, s.head_dim}, s.dtype));
      const double scale = peaked_scale(s.head_dim);
      const AttentionResult got =
          variant.aten() ? ragged_attention_aten(q, kv, scale) : ragged_attention(q, kv, scale);
      for (int64_t r = 0; r < rows; ++r) {
        const auto i = static_cast<size_t>(r);
        const int64_t b = r / s.num_kv_heads, h = r % s.num_kv_heads * s.group;
        const auto row = [&](const at::Tensor& t) {
          return t.slice(0, kv.offset[i], kv.offset[i] + kv.length[i]).unsqueeze(0).unsqueeze(0);
        };
        const auto heads = [&](const at::Tensor& t) {
          return t.slice(0, b, b + 1).slice(1, h, h + s.group);
        };
        const Expected want =
            oracle_attention(heads(q), row(kv.keys), row(kv.values), scale, /*window=*/0);
        CHECK(largest_gap(heads(got.z), want.z) < output_tolerance(s.dtype, kv.values));
        CHECK(largest_gap(heads(got.lse), want.lse) < float_tolerance(variant, s.dtype));
      }
    }
  }
}
KERNEL_TEST_CASES("ragged attention equals float64 on every row", ragged_body)

TEST_CASE("two equal keys share the weight", "[kernels]") {
  // Worked by hand: both logits are 0.5 * 2 = 1, so z is the mean value and lse = 1 + ln 2.
  const at::Tensor q = at::ones({1, 1, 1, 4}) * at::tensor({2.0f, 0.0f, 0.0f, 0.0f});
  const at::Tensor k = at::ones({1, 1, 2, 4}), v = at::tensor({1.0f, 3.0f}).view({1, 1, 2, 1});
  const AttentionResult got = causal_attention(q, k, v.expand({1, 1, 2, 4}), 0.5);
  CHECK(got.z.flatten()[0].item<double>() == Approx(2.0));
  CHECK(got.lse.item<double>() == Approx(1.0 + std::log(2.0)));
}

TEST_CASE("the door names the tensor, the expectation and the finding", "[kernels]") {
  const at::Tensor q = at::zeros({1, 4, 2, 8}), k = at::zeros({1, 3, 5, 8});
  CHECK_THROWS_WITH(causal_attention(q, k, k, 1.0),
                    Catch::Contains("multiple of the 3 KV heads") && Catch::Contains("found 4"));
  const at::Tensor short_k = at::zeros({1, 2, 1, 8});
  CHECK_THROWS_AS(causal_attention(q, short_k, short_k, 1.0), std::invalid_argument);
  CHECK_THROWS_WITH(causal_attention(q, at::zeros({1, 2, 5, 4}), short_k, 1.0),
                    Catch::StartsWith("k: expected [B=1, Hkv, S, d=8], found [1, 2, 5, 4]"));
  CHECK_THROWS_WITH(causal_attention(q.to(at::kDouble), k, k, 1.0), Catch::Contains("float32"));
  CHECK_THROWS_WITH(causal_attention(at::Tensor(), k, k, 1.0), Catch::Contains("undefined"));
  RaggedKv kv{at::zeros({6, 8}), at::zeros({6, 8}), {0, 4}, {4, 3}};
  CHECK_THROWS_WITH(ragged_attention(q, kv, 1.0), Catch::StartsWith("kv.offset"));
}

}  // namespace
}  // namespace headscope::kernels
