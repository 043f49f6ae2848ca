// Every op over a million keys, three of which, at both ends and in the middle, hold most of the
// weight.
#include "kernels/aten_ops.h"
#include "kernels/ops.h"
#include "tests/kernels/variants.h"

namespace headscope::kernels {
namespace {

constexpr int64_t kKeys = 1'000'003, kDim = 8, kRows = 2;
constexpr int64_t kHeavy[] = {5, 500'009, 999'990};

struct Million {
  at::Tensor q, k, v;  // [1, kRows, kDim], [1, kKeys, kDim]
  double scale = peaked_scale(kDim);
  at::Tensor logits;  // float64 [1, kRows, kKeys], of rows that stand last

  Million(const Variant& variant, at::ScalarType dtype) {
    at::manual_seed(kSeed);
    q = normal({1, kRows, kDim}, dtype);
    k = normal({1, kKeys, kDim}, dtype);
    for (const int64_t key : kHeavy) k.select(1, key).copy_(q.select(1, key % kRows) * 3);
    q = variant.to_device(q);
    k = variant.to_device(k);
    v = variant.to_device(normal({1, kKeys, kDim}, dtype));
    logits = oracle_logits(q, k, scale, kKeys - kRows);
  }
  [[nodiscard]] at::Tensor weight() const { return logits.softmax(-1); }
  [[nodiscard]] at::Tensor lse(const Variant& variant) const {
    return variant.to_device(logits.logsumexp({-1}).to(at::kFloat));
  }
};

// Most weights are near a millionth: an absolute bound alone would let them all be 0.
void check_weights(const at::Tensor& got, const at::Tensor& want) {
  REQUIRE(got.sizes() == want.sizes());
  const at::Tensor gap = (got.cpu().to(at::kDouble) - want).abs();
  CAPTURE((gap / want).max().item<double>(), got.sizes());
  CHECK(at::all(gap <= want * 3e-5 + 1e-12).item<bool>());
}

void scores_body(const Variant& variant) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    INFO(c10::toString(dtype) << ", seed " << kSeed);
    const Million m(variant, dtype);
    const at::Tensor weight = m.weight(), lse = m.lse(variant);
    const std::vector<KeySpan> spans{{0, 10}, {500'000, 500'010}, {999'980, kKeys}, {0, kKeys}};
    std::vector<at::Tensor> masses;
    for (const KeySpan& span : spans) {
      masses.push_back(weight.slice(-1, span.begin, span.end).sum(-1));
    }
    const at::Tensor seen = weight.slice(-1, 0, kKeys - kRows).sum(1).unsqueeze(0);
    const at::Tensor best = std::get<0>(weight.topk(3, -1));
    const at::Tensor q = m.q.unsqueeze(0), k = m.k.unsqueeze(0);
    const int64_t first = kKeys - kRows;
    for (const bool is_known : {false, true}) {
      const auto known = is_known ? std::optional(lse) : std::nullopt;
      const auto batched = is_known ? std::optional(lse.unsqueeze(0)) : std::nullopt;
      const bool aten = variant.aten();
      const WindowImportanceOptions plain{WindowReduction::kSum, WindowPooling::kNone, 1};
      check_weights(aten ? window_importance_aten(q, k, m.scale, {}, plain, batched)
                         : window_importance(q, k, m.scale, {}, plain, batched),
                    seen);
      check_weights(aten ? span_attention_aten(m.q, m.k, m.scale, first, spans, known)
                         : span_attention(m.q, m.k, m.scale, first, spans, known),
                    at::stack(masses, -1));
      const TopAttended top = aten ? top_attended_aten(m.q, m.k, m.scale, first, 3, known)
                                   : top_attended(m.q, m.k, m.scale, first, 3, known);
      check_weights(top.weight, best);
      check_weights(weight.gather(-1, top.position.cpu()), best);
    }
  }
}
OP_TEST_CASES("scores over a million keys equal float64", scores_body)

void outputs_body(const Variant& variant) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    INFO(c10::toString(dtype) << ", seed " << kSeed);
    const Million m(variant, dtype);
    const at::Tensor values = m.v.cpu().to(at::kDouble);
    const at::Tensor want = at::matmul(m.weight(), values);
    const at::Tensor q = m.q.unsqueeze(0);
    const bool aten = variant.aten();
    const AttentionResult causal =
        aten ? causal_attention_aten(q, m.k.unsqueeze(0), m.v.unsqueeze(0), m.scale, 0)
             : causal_attention(q, m.k.unsqueeze(0), m.v.unsqueeze(0), m.scale, 0);
    const RaggedKv kv{m.k[0], m.v[0], {0}, {kKeys}};
    const AttentionResult ragged =
        aten ? ragged_attention_aten(q, kv, m.scale) : ragged_attention(q, kv, m.scale);
    for (const AttentionResult& got : {causal, ragged}) {
      CHECK(largest_gap(got.z[0], want) < output_tolerance(dtype, m.v));
      CHECK(largest_gap(got.lse[0], m.logits.logsumexp({-1})) < kFloatTolerance);
    }

    const int64_t tail = kKeys - kRows;
    const at::Tensor order = at::rand({1, tail}).argsort();
    const std::vector<int64_t> cuts{1000, 600'000, tail};
    const at::Tensor on_device = variant.to_device(order);
    const at::Tensor curve =
        aten ? error_curve_aten(m.q, m.k, m.v, m.scale, tail, on_device, cuts, tail)
             : error_curve(m.q, m.k, m.v, m.scale, tail, on_device, cuts, tail);
    for (size_t i = 0; i < cuts.size(); ++i) {
      at::Tensor hidden = at::ones({kKeys}, at::kBool);
      hidden.slice(0, tail).fill_(false);
      hidden.index_fill_(0, order[0].slice(0, 0, cuts[i]), false);
      const at::Tensor weight =
          m.logits.masked_fill(hidden, -std::numeric_limits<double>::infinity()).softmax(-1);
      CHECK(largest_gap(curve[static_cast<int64_t>(i)], at::matmul(weight, values)) <
            float_tolerance(variant, dtype));
    }
  }
}
OP_TEST_CASES("outputs and error curves over a million keys equal float64", outputs_body)

void eviction_body(const Variant& variant) {
  at::manual_seed(kSeed);
  INFO("seed " << kSeed);
  const at::Tensor scores = at::randn({2, kKeys});
  const std::vector<int64_t> counts{1000, 700'000};
  const at::Tensor on_device = variant.to_device(scores);
  const std::vector<at::Tensor> kept =
      variant.aten() ? select_retained_aten(on_device, counts) : select_retained(on_device, counts);
  const at::Tensor source = variant.to_device(normal({kKeys, kDim}));
  for (int64_t r = 0; r < 2; ++r) {
    const auto i = static_cast<size_t>(r);
    // Equal scores go by position, as in a stable sort.
    const at::Tensor sorted = std::get<1>(scores[r].sort(/*stable=*/true, 0, /*descending=*/true));
    const at::Tensor want = std::get<0>(sorted.slice(0, 0, counts[i]).sort());
    CHECK(at::equal(kept[i].cpu(), want));
    const at::Tensor target = at::zeros({counts[i], kDim}, source.options());
    variant.aten() ? compact_kv_aten(source, kept[i], target, 0)
                   : compact_kv(source, kept[i], target, 0);
    CHECK(at::equal(target.cpu(), source.cpu().index_select(0, want)));
  }
}
OP_TEST_CASES("selection and compaction of a million keys are exact", eviction_body)

}  // namespace
}  // namespace headscope::kernels
