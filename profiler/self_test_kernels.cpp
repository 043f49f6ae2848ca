#include "profiler/self_test_kernels.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "profiler/self_test_models.h"
#include "profiler/self_test_reference.h"

namespace headscope::profiler {
namespace {

constexpr uint64_t kSeed = 20261125;
constexpr int64_t kNumKvHeads = 2;
constexpr int64_t kNumKeys = 300;
constexpr int64_t kNumRows = 9;

// Inputs of one case and the two answers to compare.
class Case {
 public:
  Case(at::Device device, const KernelDoor& door, at::ScalarType dtype, int64_t group, int64_t d)
      : device_(device),
        door_(door),
        random_(at::detail::createCPUGenerator(kSeed + static_cast<uint64_t>(group))),
        q(normal({group * kNumKvHeads, kNumRows, d}).to(dtype)),
        k(normal({kNumKvHeads, kNumKeys, d}).to(dtype)),
        v(normal({kNumKvHeads, kNumKeys, d}).to(dtype)),
        scale(2.0 / std::sqrt(static_cast<double>(d))),
        rounding(rounding_bounds(q, k, scale)),
        largest_value(v.abs().max().item<double>()) {}

  // Computes on the device, and again with the twin on the CPU where the device is another one;
  // else `reference` says what is right.
  template <typename Op, typename Reference>
  Measurement compare(double bound, const Op& op, const Reference& reference) const {
    const at::Tensor got = op(door_, device_).to(at::kCPU, at::kDouble);
    const at::Tensor want =
        (device_.is_cpu() ? reference() : op(door_, at::Device(at::kCPU))).to(at::kDouble);
    TORCH_CHECK(got.sizes() == want.sizes(), "the result has another shape");
    return {(got - want).abs().max().template item<double>(),
            device_.is_cpu() ? bound : 2.0 * bound};
  }

  [[nodiscard]] at::Tensor normal(at::IntArrayRef sizes) const {
    return at::randn(sizes, random_, at::kFloat);
  }

 private:
  at::Device device_;
  const KernelDoor& door_;
  mutable at::Generator random_;

 public:
  at::Tensor q;  // [group * kNumKvHeads, kNumRows, d]
  at::Tensor k;  // [kNumKvHeads, kNumKeys, d]
  at::Tensor v;
  double scale;
  RoundingBounds rounding;
  double largest_value;
  // The rows' place: a few keys lie behind the last one.
  int64_t first_position = kNumKeys - kNumRows - 3;

  // Of an output of weighted values, stored in q's dtype; libraries may round the weights to that
  // dtype as well.
  [[nodiscard]] double output_bound() const {
    return largest_value * (rounding.weight + 2.0 * unit_roundoff(q.scalar_type()));
  }
  [[nodiscard]] at::Tensor logits() const { return reference_logits(q, k, scale, first_position); }
};

// z and log-sum-exp in one tensor, [Hq, n, d + 1].
at::Tensor with_lse(const at::Tensor& z, const at::Tensor& lse) {
  return at::cat({z.to(at::kDouble), lse.to(at::kDouble).unsqueeze(-1)}, -1);
}

Measurement check_causal_attention(const Case& c) {
  const auto logits = [&] { return reference_logits(c.q, c.k, c.scale, kNumKeys - kNumRows); };
  return c.compare(
      std::max(c.output_bound(), c.rounding.logit + c.rounding.weight),
      [&](const KernelDoor& door, at::Device device) {
        const auto got =
            door.causal_attention(c.q.unsqueeze(0).to(device), c.k.unsqueeze(0).to(device),
                                  c.v.unsqueeze(0).to(device), c.scale, /*attention_window=*/0);
        return with_lse(got.z[0], got.lse[0]);
      },
      [&] { return with_lse(reference_output(logits(), c.v), logits().logsumexp({-1})); });
}

Measurement check_full_attention(const Case& c) {
  // Rows behind all keys see them all.
  const auto logits = [&] { return reference_logits(c.q, c.k, c.scale, kNumKeys); };
  return c.compare(
      std::max(c.output_bound(), c.rounding.logit + c.rounding.weight),
      [&](const KernelDoor& door, at::Device device) {
        const auto got =
            door.full_attention(c.q.unsqueeze(0).to(device), c.k.unsqueeze(0).to(device),
                                c.v.unsqueeze(0).to(device), c.scale);
        return with_lse(got.z[0], got.lse[0]);
      },
      [&] { return with_lse(reference_output(logits(), c.v), logits().logsumexp({-1})); });
}

// The first KV head keeps all keys, the second the last third of them.
Measurement check_ragged_attention(const Case& c) {
  const int64_t dropped = 2 * kNumKeys / 3;
  const at::Tensor flat_k = at::cat({c.k[0], c.k[1].slice(0, dropped)});
  const at::Tensor flat_v = at::cat({c.v[0], c.v[1].slice(0, dropped)});
  const int64_t group = c.q.size(0) / kNumKvHeads;
  const auto of_row = [&](int64_t row, int64_t from) {
    const at::Tensor q = c.q.slice(0, row * group, (row + 1) * group);
    const at::Tensor k = c.k.slice(0, row, row + 1).slice(1, from);
    const at::Tensor v = c.v.slice(0, row, row + 1).slice(1, from);
    const at::Tensor logits = reference_logits(q, k, c.scale, k.size(1) - kNumRows);
    return with_lse(reference_output(logits, v), logits.logsumexp({-1}));
  };
  return c.compare(
      std::max(c.output_bound(), c.rounding.logit + c.rounding.weight),
      [&](const KernelDoor& door, at::Device device) {
        const kernels::RaggedKv kv{
            flat_k.to(device), flat_v.to(device), {0, kNumKeys}, {kNumKeys, kNumKeys - dropped}};
        const auto got = door.ragged_attention(c.q.unsqueeze(0).to(device), kv, c.scale);
        return with_lse(got.z[0], got.lse[0]);
      },
      [&] {
        return at::cat({of_row(0, 0), of_row(1, dropped)});
      });
}

Measurement check_window_importance(const Case& c) {
  using kernels::WindowPooling;
  using kernels::WindowReduction;
  const std::array<kernels::WindowImportanceOptions, 3> choices{
      {{WindowReduction::kSum, WindowPooling::kAverage, 5},
       {WindowReduction::kMean, WindowPooling::kMax, 7},
       {WindowReduction::kSquare, WindowPooling::kNone, 1}}};
  const auto stack = [&](const auto& of_choice) {
    std::vector<at::Tensor> results;
    for (const auto& options : choices) results.push_back(of_choice(options));
    return at::stack(results);
  };
  const at::Tensor logits = reference_logits(c.q, c.k, c.scale, kNumKeys - kNumRows);
  const at::Tensor want =
      stack([&](const auto& options) { return reference_importance(logits, options); });
  // Squares have twice the relative error of the weights.
  return c.compare(
      2.0 * c.rounding.weight * want.max().item<double>(),
      [&](const KernelDoor& door, at::Device device) {
        return stack([&](const auto& options) {
          return door.window_importance(c.q.unsqueeze(0).to(device), c.k.unsqueeze(0).to(device),
                                        c.scale, {}, options, std::nullopt)[0];
        });
      },
      [&] { return want; });
}

Measurement check_span_attention(const Case& c) {
  const std::vector<kernels::KeySpan> spans{{0, 4}, {50, 70}, {200, kNumKeys}, {7, 7}};
  return c.compare(
      c.rounding.weight,
      [&](const KernelDoor& door, at::Device device) {
        return door.span_attention(c.q.to(device), c.k.to(device), c.scale, c.first_position, spans,
                                   std::nullopt);
      },
      [&] {
        const at::Tensor weights = c.logits().softmax(-1);
        std::vector<at::Tensor> masses;
        for (const auto& span : spans) {
          masses.push_back(weights.slice(-1, span.begin, span.end).sum(-1));
        }
        return at::stack(masses, -1);
      });
}

// Weights, and what the named positions really weigh: two keys may be closer than float32 tells.
Measurement check_top_attended(const Case& c) {
  constexpr int64_t kTop = 6;
  const at::Tensor weights = c.logits().softmax(-1);
  return c.compare(
      c.rounding.weight,
      [&](const KernelDoor& door, at::Device device) {
        const auto got = door.top_attended(c.q.to(device), c.k.to(device), c.scale,
                                           c.first_position, kTop, std::nullopt);
        return at::cat(
            {got.weight.to(at::kCPU, at::kDouble), weights.gather(-1, got.position.to(at::kCPU))});
      },
      [&] {
        const at::Tensor best = std::get<0>(weights.topk(kTop, -1));
        return at::cat({best, best});
      });
}

Measurement check_attention_received(const Case& c) {
  const at::Tensor logits = reference_logits(c.q, c.k, c.scale, kNumKeys - kNumRows);
  // A sum of the rows' weights.
  return c.compare(
      static_cast<double>(kNumRows) * c.rounding.weight,
      [&](const KernelDoor& door, at::Device device) {
        const at::Tensor lse = logits.logsumexp({-1}).to(at::kFloat).to(device);
        return door.attention_received(c.q.unsqueeze(0).to(device), c.k.unsqueeze(0).to(device),
                                       lse.unsqueeze(0), c.scale, /*attention_window=*/0)[0];
      },
      [&] { return logits.softmax(-1).sum(1); });
}

// The value is how many of the kept positions are wrong.
Measurement check_select_retained(const Case& c) {
  const at::Tensor scores = at::cat({c.normal({3, 5000}), c.normal({3, 5000}).mul(2.0).round()});
  const std::vector<int64_t> count{1, 64, 4999, 100, 1000, 2500};
  return c.compare(
      0.0,
      [&](const KernelDoor& door, at::Device device) {
        std::vector<at::Tensor> rows = door.select_retained(scores.to(device), count);
        for (at::Tensor& row : rows) row = row.to(at::kCPU);
        return at::cat(rows);
      },
      [&] {
        std::vector<int64_t> kept;
        for (size_t r = 0; r < count.size(); ++r) {
          const auto row = reference_selection(scores[static_cast<int64_t>(r)], count[r]);
          kept.insert(kept.end(), row.begin(), row.end());
        }
        return at::tensor(kept, at::kLong);
      });
}

Measurement check_compact_kv(const Case& c) {
  const at::Tensor positions = at::arange(3, kNumKeys, 2);
  return c.compare(
      0.0,
      [&](const KernelDoor& door, at::Device device) {
        const at::Tensor target = at::zeros({kNumKeys, c.k.size(2)}, c.k.options().device(device));
        door.compact_kv(c.k[1].to(device), positions.to(device), target, /*target_offset=*/5);
        return target.to(at::kFloat);
      },
      [&] {
        const at::Tensor target = at::zeros({kNumKeys, c.k.size(2)});
        target.narrow(0, 5, positions.size(0)).copy_(c.k[1].index_select(0, positions));
        return target;
      });
}

// The first KV head keeps every other key, the second the first three.
Measurement check_compact_layer_kv(const Case& c) {
  const std::vector<at::Tensor> positions{at::arange(3, kNumKeys, 2), at::arange(3)};
  const std::vector<int64_t> offset{5, kNumKeys};
  return c.compare(
      0.0,
      [&](const KernelDoor& door, at::Device device) {
        std::vector<at::Tensor> there;
        for (const at::Tensor& rows : positions) there.push_back(rows.to(device));
        const at::Tensor target =
            at::zeros({kNumKeys + 3, c.k.size(2)}, c.k.options().device(device));
        door.compact_layer_kv(c.k.unsqueeze(0).to(device), there, target, offset);
        return target.to(at::kFloat);
      },
      [&] {
        const at::Tensor target = at::zeros({kNumKeys + 3, c.k.size(2)});
        for (int64_t h = 0; h < kNumKvHeads; ++h) {
          const at::Tensor& rows = positions[static_cast<size_t>(h)];
          target.narrow(0, offset[static_cast<size_t>(h)], rows.size(0))
              .copy_(c.k[h].index_select(0, rows));
        }
        return target;
      });
}

Measurement check_error_curve(const Case& c) {
  const int64_t tail_begin = 250;
  const at::Tensor order = c.normal({kNumKvHeads, tail_begin})
                               .argsort(int64_t{-1}, /*descending=*/false)
                               .slice(1, 0, 200);
  const std::vector<int64_t> cuts{0, 1, 24, 120, 200};
  return c.compare(
      c.largest_value * c.rounding.weight,
      [&](const KernelDoor& door, at::Device device) {
        return door.error_curve(c.q.to(device), c.k.to(device), c.v.to(device), c.scale,
                                c.first_position, order.to(device), cuts, tail_begin);
      },
      [&] { return reference_curve(c.logits(), c.v, order, cuts, tail_begin); });
}

struct OpCheck {
  const char* name;
  Measurement (*check)(const Case&);
  bool every_dtype = true;  // false: the op takes float32 only
};

// A new op of kernels/ops.h: its function above, and its line here.
constexpr OpCheck kOps[] = {
    {"causal_attention", check_causal_attention},
    {"full_attention", check_full_attention},
    {"ragged_attention", check_ragged_attention},
    {"window_importance", check_window_importance},
    {"span_attention", check_span_attention},
    {"top_attended", check_top_attended},
    {"attention_received", check_attention_received},
    {"select_retained", check_select_retained, /*every_dtype=*/false},
    {"compact_kv", check_compact_kv},
    {"compact_layer_kv", check_compact_layer_kv},
    {"error_curve", check_error_curve},
};

// How much of its bound a measurement uses; a NaN, or anything above a bound of 0, uses all.
double use_of(const Measurement& measured) {
  if (measured.value == 0.0) return 0.0;
  const double use = measured.value / measured.bound;
  return std::isnan(use) ? std::numeric_limits<double>::infinity() : use;
}

Measurement over_shapes(const OpCheck& op,
                        at::Device device,
                        const KernelDoor& door,
                        at::ScalarType dtype) {
  constexpr std::array<int64_t, 4> kHeadDims{64, 80, 128, 20};
  const std::vector<int64_t> groups = self_test_group_sizes();
  Measurement worst;
  for (size_t i = 0; i < groups.size(); ++i) {
    const Measurement measured =
        op.check(Case(device, door, dtype, groups[i], kHeadDims[i % kHeadDims.size()]));
    if (i == 0 || use_of(measured) > use_of(worst)) worst = measured;
  }
  return worst;
}

}  // namespace

std::vector<SelfTestCheck> kernel_checks(at::Device device, const KernelDoor& door) {
  std::vector<std::pair<at::Device, std::string>> places{{at::Device(at::kCPU), " on cpu"}};
  if (!device.is_cpu()) places.emplace_back(device, " on " + device.str());
  std::vector<SelfTestCheck> checks;
  for (const auto& [place, where] : places) {
    for (const OpCheck& op : kOps) {
      for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
        if (dtype != at::kFloat && !op.every_dtype) continue;
        const char* type = dtype == at::kFloat      ? "float32"
                           : dtype == at::kBFloat16 ? "bfloat16"
                                                    : "float16";
        checks.push_back(
            {"kernel " + std::string(op.name) + ", " + type + where,
             [op, place = place, door, dtype] { return over_shapes(op, place, door, dtype); }});
      }
    }
  }
  return checks;
}

}  // namespace headscope::profiler
