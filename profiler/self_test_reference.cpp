#include "profiler/self_test_reference.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace headscope::profiler {
namespace {

constexpr double kUnit = 0x1p-24;
constexpr double kHidden = -std::numeric_limits<double>::infinity();

at::Tensor in_double(const at::Tensor& t) {
  return t.to(at::kCPU, at::kDouble);
}

// A KV head's rows once for each of its query heads.
at::Tensor for_query_heads(const at::Tensor& kv, int64_t num_query_heads) {
  return in_double(kv).repeat_interleave(num_query_heads / kv.size(0), 0);
}

}  // namespace

RoundingBounds rounding_bounds(const at::Tensor& q, const at::Tensor& k, double scale) {
  const at::Tensor sizes =
      at::matmul(in_double(q).abs(), for_query_heads(k, q.size(0)).abs().transpose(1, 2));
  const double largest = scale * sizes.max().item<double>();
  RoundingBounds bounds;
  bounds.logit = (std::sqrt(static_cast<double>(q.size(2))) + 1.0) * kUnit * largest;
  bounds.weight = 2.0 * bounds.logit + (8.0 + std::sqrt(static_cast<double>(k.size(1)))) * kUnit;
  return bounds;
}

double unit_roundoff(at::ScalarType dtype) {
  if (dtype == at::kBFloat16) return 0x1p-8;
  return dtype == at::kHalf ? 0x1p-11 : kUnit;
}

at::Tensor reference_logits(const at::Tensor& q,
                            const at::Tensor& k,
                            double scale,
                            int64_t first_position,
                            int64_t attention_window) {
  const at::Tensor logits =
      scale * at::matmul(in_double(q), for_query_heads(k, q.size(0)).transpose(1, 2));
  const at::Tensor position = first_position + at::arange(q.size(1)).unsqueeze(1);
  const at::Tensor key = at::arange(k.size(1)).unsqueeze(0);
  at::Tensor hidden = key.gt(position);
  if (attention_window > 0) hidden = hidden.logical_or(key.le(position - attention_window));
  return logits.masked_fill(hidden, kHidden);
}

at::Tensor reference_output(const at::Tensor& logits, const at::Tensor& v) {
  return at::matmul(logits.softmax(-1), for_query_heads(v, logits.size(0)));
}

at::Tensor reference_importance(const at::Tensor& logits,
                                const kernels::WindowImportanceOptions& options) {
  using kernels::WindowPooling;
  using kernels::WindowReduction;
  const int64_t w = logits.size(1);
  const at::Tensor weights = logits.softmax(-1).narrow(2, 0, logits.size(2) - w);
  at::Tensor scores =
      options.reduction == WindowReduction::kSquare ? weights.square().sum(1) : weights.sum(1);
  if (options.reduction == WindowReduction::kMean) scores = scores / w;
  if (options.pooling == WindowPooling::kNone) return scores;
  const int64_t half = options.pooling_kernel / 2;
  const at::Tensor windows =
      at::constant_pad_nd(scores, {half, half}).unfold(1, options.pooling_kernel, 1);
  return options.pooling == WindowPooling::kMax ? windows.amax(-1) : windows.mean(-1);
}

std::vector<int64_t> reference_selection(const at::Tensor& row, int64_t count) {
  const at::Tensor values = row.to(at::kCPU).contiguous();
  const float* score = values.const_data_ptr<float>();
  std::vector<int64_t> order(static_cast<size_t>(values.numel()));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return score[a] > score[b]; });
  order.resize(std::min(order.size(), static_cast<size_t>(count)));
  std::sort(order.begin(), order.end());
  return order;
}

at::Tensor reference_curve(const at::Tensor& logits,
                           const at::Tensor& v,
                           const at::Tensor& order,
                           const std::vector<int64_t>& cuts,
                           int64_t tail_begin) {
  std::vector<at::Tensor> outputs;
  for (const int64_t cut : cuts) {
    at::Tensor dropped = at::ones({v.size(0), v.size(1)}, at::kBool);
    dropped.narrow(1, tail_begin, v.size(1) - tail_begin).fill_(false);
    dropped.scatter_(1, order.to(at::kCPU).narrow(1, 0, cut), false);
    const at::Tensor of_heads = dropped.repeat_interleave(logits.size(0) / v.size(0), 0);
    outputs.push_back(reference_output(logits.masked_fill(of_heads.unsqueeze(1), kHidden), v));
  }
  return at::stack(outputs);
}

}  // namespace headscope::profiler
