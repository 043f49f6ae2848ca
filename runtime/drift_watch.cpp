#include "runtime/drift_watch.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "kernels/ops.h"

namespace headscope::runtime {

namespace {

constexpr int64_t kFirstTokens = 4;
constexpr int64_t kLastTokens = 64;
constexpr int64_t kRecentTokens = 8;
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// Per query head the most that the window's last query gives to a single key in the middle of the
// prompt: [B, Hq].
at::Tensor middle_peak(const FullLayer& full, const QueryWindow& window) {
  const int64_t num_rows = window.num_rows();
  at::Tensor weights = kernels::window_importance(window.q.narrow(/*dim=*/2, num_rows - 1, 1),
                                                  full.keys(), window.scale, /*heads=*/{}, {},
                                                  window.lse.narrow(/*dim=*/2, num_rows - 1, 1));
  const int64_t end = std::max<int64_t>(0, full.length() - kLastTokens);
  for (int64_t b = 0; b < weights.size(0); ++b) {
    const int64_t padding = full.padding().empty() ? 0 : full.padding()[static_cast<size_t>(b)];
    const int64_t begin = std::min(weights.size(2), padding + kFirstTokens);
    weights[b].narrow(/*dim=*/1, 0, begin).zero_();
  }
  // A first column of zeros, for prompts that have no middle.
  weights.select(/*dim=*/2, 0).zero_();
  return weights.narrow(/*dim=*/2, 0, std::max<int64_t>(1, end)).amax(/*dim=*/2);
}

// log of the sum of exp over the last dimension of scale * q.k, hidden entries left out.
at::Tensor visible_lse(const at::Tensor& q,       // [.., n, d]
                       const at::Tensor& keys,    // [.., S, d]
                       const at::Tensor& hidden,  // broadcasts to [.., n, S]
                       double scale) {
  const at::Tensor logits =
      at::matmul(q.to(at::kFloat), keys.to(at::kFloat).transpose(-1, -2)) * scale;
  return at::logsumexp(logits.masked_fill(hidden, kMinusInfinity), /*dim=*/-1);
}

double value(const at::Tensor& per_sequence, int64_t sequence) {
  return per_sequence.defined() ? per_sequence[sequence].item<double>() : 1.0;
}

}  // namespace

at::Tensor kept_mass(const QueryWindow& window, const RaggedLayer& layer) {
  const int64_t num_kv_heads = layer.num_kv_heads();
  const int64_t group = window.q.size(1) / num_kv_heads;
  const int64_t rows = window.num_rows();
  const at::Tensor query_position =
      at::arange(window.end - rows, window.end, window.q.options().dtype(at::kLong));
  at::Tensor mass = at::empty(window.lse.sizes(), window.lse.options());
  for (int64_t row = 0; row < layer.num_rows(); ++row) {
    const int64_t b = row / num_kv_heads;
    const int64_t first_head = row % num_kv_heads * group;
    const at::Tensor position =
        at::tensor(layer.positions(row), at::kLong).to(query_position.device());
    const at::Tensor hidden = position.unsqueeze(0) > query_position.unsqueeze(1);
    const at::Tensor kept_lse = visible_lse(window.q[b].narrow(/*dim=*/0, first_head, group),
                                            layer.keys(row), hidden, window.scale);
    mass[b]
        .narrow(/*dim=*/0, first_head, group)
        .copy_((kept_lse - window.lse[b].narrow(/*dim=*/0, first_head, group)).exp());
  }
  // Rows that are padding have no attention to lose.
  return mass.nan_to_num(/*nan=*/1.0).clamp(0.0, 1.0);
}

DriftWatch::DriftWatch(int64_t num_layers,
                       int64_t num_sentinels,
                       std::vector<HeadId> heads,
                       std::vector<int64_t> padding)
    : num_sentinels_(static_cast<size_t>(std::max<int64_t>(0, num_sentinels))),
      heads_(std::move(heads)),
      padding_(std::move(padding)),
      window_mass_(static_cast<size_t>(num_layers)) {}

std::vector<double> DriftWatch::merits(int64_t layer,
                                       const FullLayer& full,
                                       const QueryWindow& window) const {
  if (heads_.empty()) {
    const at::Tensor peaks =
        middle_peak(full, window).mean(/*dim=*/0).to(at::kCPU, at::kDouble).contiguous();
    const auto* first = peaks.const_data_ptr<double>();
    return {first, first + peaks.numel()};
  }
  std::vector<double> found(static_cast<size_t>(window.q.size(1)),
                            -std::numeric_limits<double>::infinity());
  for (size_t place = 0; place < heads_.size(); ++place) {
    const auto head = static_cast<size_t>(heads_[place].head);
    if (heads_[place].layer == layer && head < found.size()) {
      found[head] = -static_cast<double>(place);
    }
  }
  return found;
}

void DriftWatch::offer(int64_t layer, const FullLayer& full, const QueryWindow& window) {
  const at::Tensor keys = full.keys();
  if (window.attention_window > 0 || window.num_rows() == 0 || window.num_rows() >= keys.size(2)) {
    return;
  }
  const std::vector<double> merit = merits(layer, full, window);
  const auto num_heads = static_cast<int64_t>(merit.size());
  const int64_t group = num_heads / keys.size(1);
  for (int64_t head = 0; head < num_heads; ++head) {
    const double of_head = merit[static_cast<size_t>(head)];
    if (of_head == -std::numeric_limits<double>::infinity()) {
      continue;
    }
    if (sentinels_.size() == num_sentinels_) {
      const auto least =
          std::min_element(sentinels_.begin(), sentinels_.end(),
                           [](const Sentinel& a, const Sentinel& b) { return a.merit < b.merit; });
      if (least == sentinels_.end() || least->merit >= of_head) {
        continue;
      }
      sentinels_.erase(least);
    }
    Sentinel sentinel;
    sentinel.head = {layer, head};
    sentinel.kv_head = head / group;
    sentinel.merit = of_head;
    append(sentinel, keys.select(/*dim=*/1, sentinel.kv_head));
    sentinels_.push_back(std::move(sentinel));
  }
}

void DriftWatch::see_window(int64_t layer,
                            const QueryWindow& window,
                            const RaggedLayer* layer_after) {
  if (layer_after == nullptr) {
    return;
  }
  const at::Tensor mass = kept_mass(window, *layer_after);  // [B, Hq, rows]
  window_mass_[static_cast<size_t>(layer)] = mass.mean(at::IntArrayRef({1, 2}));
  for (Sentinel& sentinel : sentinels_) {
    if (sentinel.head.layer == layer) {
      sentinel.window_mass = mass.select(/*dim=*/1, sentinel.head.head).mean(/*dim=*/1);
    }
  }
}

void DriftWatch::begin_turn() {
  recent_ = at::Tensor();
  lowest_ = at::Tensor();
}

void DriftWatch::see_pass(const LayerStep& step,
                          const LayerAttention& attention,
                          bool prompt_is_over) {
  for (Sentinel& sentinel : sentinels_) {
    if (sentinel.head.layer != step.layer) {
      continue;
    }
    append(sentinel, step.k.select(/*dim=*/1, sentinel.kv_head));
    if (!prompt_is_over) {
      continue;
    }
    const at::Tensor of_sentinel = mass(sentinel, step, attention.lse);
    pass_mass_ = pass_mass_.defined() ? pass_mass_ + of_sentinel : of_sentinel;
  }
}

// Of each new token the share of its mass that fell on what is held: [B, n].
at::Tensor DriftWatch::mass(const Sentinel& sentinel,
                            const LayerStep& step,
                            const at::Tensor& held_lse) const {
  const int64_t n = step.q.size(2);
  const at::TensorOptions whole = step.q.options().dtype(at::kLong);
  const at::Tensor column = at::arange(sentinel.length, whole);
  const at::Tensor row = at::arange(sentinel.length - n, sentinel.length, whole);
  at::Tensor hidden = (column.unsqueeze(0) > row.unsqueeze(1)).unsqueeze(0);
  if (!padding_.empty()) {
    const at::Tensor padding = at::tensor(padding_, at::kLong).to(step.q.device());
    hidden = hidden.logical_or(column < padding.reshape({-1, 1, 1}));
  }
  const at::Tensor all_lse =
      visible_lse(step.q.select(/*dim=*/1, sentinel.head.head),
                  sentinel.keys.narrow(/*dim=*/1, 0, sentinel.length), hidden, step.scale);
  return (held_lse.select(/*dim=*/1, sentinel.head.head) - all_lse).exp().clamp(0.0, 1.0);
}

void DriftWatch::end_pass() {
  if (!pass_mass_.defined()) {
    return;
  }
  const at::Tensor fresh = pass_mass_ / static_cast<double>(sentinels_.size());
  pass_mass_ = at::Tensor();
  recent_ = recent_.defined() ? at::cat({recent_, fresh}, /*dim=*/1) : fresh;
  const int64_t rows = std::min(recent_.size(1), kRecentTokens);
  // Every run of `rows` tokens that ends in this pass.
  const at::Tensor runs = recent_.unfold(/*dimension=*/1, rows, /*step=*/1).mean(/*dim=*/-1);
  const at::Tensor least = std::get<0>(runs.min(/*dim=*/1));
  lowest_ = lowest_.defined() ? at::minimum(lowest_, least) : least;
  recent_ = recent_.slice(/*dim=*/1, recent_.size(1) - rows).clone();
}

void DriftWatch::append(Sentinel& sentinel, const at::Tensor& keys) {
  const int64_t wanted = sentinel.length + keys.size(1);
  if (!sentinel.keys.defined() || wanted > sentinel.keys.size(1)) {
    const at::Tensor grown =
        at::empty({keys.size(0), full_capacity(wanted), keys.size(2)}, keys.options());
    if (sentinel.length > 0) {
      grown.narrow(/*dim=*/1, 0, sentinel.length)
          .copy_(sentinel.keys.narrow(/*dim=*/1, 0, sentinel.length));
    }
    sentinel.keys = grown;
  }
  sentinel.keys.narrow(/*dim=*/1, sentinel.length, keys.size(1)).copy_(keys);
  sentinel.length = wanted;
}

void DriftWatch::truncate(int64_t length) {
  for (Sentinel& sentinel : sentinels_) {
    sentinel.length = std::min(sentinel.length, length);
  }
  pass_mass_ = at::Tensor();
}

KeptMass DriftWatch::report(int64_t sequence) const {
  KeptMass found;
  found.window = 0.0;
  for (const at::Tensor& mass : window_mass_) {
    found.window_by_layer.push_back(value(mass, sequence));
    found.window += found.window_by_layer.back() / static_cast<double>(window_mass_.size());
  }
  double total = 0.0;
  for (const Sentinel& sentinel : sentinels_) {
    found.sentinels.push_back(sentinel.head);
    total += value(sentinel.window_mass, sequence);
  }
  if (!sentinels_.empty()) {
    found.sentinel_window = total / static_cast<double>(sentinels_.size());
  }
  if (recent_.defined()) {
    found.sentinel_recent = recent_[sequence].mean().item<double>();
    found.sentinel_lowest = value(lowest_, sequence);
  }
  return found;
}

int64_t DriftWatch::bytes_held() const {
  int64_t bytes = 0;
  for (const Sentinel& sentinel : sentinels_) {
    bytes += static_cast<int64_t>(sentinel.keys.nbytes());
  }
  return bytes;
}

}  // namespace headscope::runtime
