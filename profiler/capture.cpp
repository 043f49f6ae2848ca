#include "profiler/capture.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <utility>

namespace headscope::profiler {
namespace {

// Mass of each row on the last kRecentTokens keys that it sees, [Hq, n]. The range moves with the
// row, so every row is a call of its own.
at::Tensor recent_mass(const model::LayerView& view, const at::Tensor& keys) {
  std::vector<at::Tensor> rows;
  for (int64_t row = 0; row < view.q.size(2); ++row) {
    const int64_t end = view.first_position + row + 1;
    const std::vector<kernels::KeySpan> span{{std::max<int64_t>(0, end - kRecentTokens), end}};
    rows.push_back(kernels::span_attention(view.q[0].narrow(1, row, 1), keys, view.scale, end - 1,
                                           span, view.lse[0].narrow(1, row, 1))
                       .flatten(1));
  }
  return at::cat(rows, /*dim=*/1);
}

}  // namespace

AnswerCapture::AnswerCapture(const ModelShape& shape, KeysOfLayer keys, const ScorerSet& scorers)
    : shape_(shape), keys_(std::move(keys)), scorers_(scorers) {
  ends_ = std::any_of(scorers.begin(), scorers.end(),
                      [](const auto& scorer) { return scorer->needs_ends(); });
}

AnswerCapture::AnswerCapture(const ModelShape& shape,
                             const runtime::FullKvCache& cache,
                             const ScorerSet& scorers)
    : AnswerCapture(
          shape, [&cache](int64_t layer) { return cache.keys(layer)[0]; }, scorers) {}

void AnswerCapture::watch(const Probe& probe) {
  spans_.clear();
  for (const TokenSpan& span : probe.needle_spans) spans_.push_back({span.begin, span.end});
  num_needle_spans_ = static_cast<int64_t>(spans_.size());
  for (const TokenSpan& span : probe.answer_spans) spans_.push_back({span.begin, span.end});
  num_answer_spans_ = static_cast<int64_t>(spans_.size()) - num_needle_spans_;
  if (ends_) {
    spans_.push_back({0, std::min(kSinkTokens, static_cast<int64_t>(probe.prompt.size()))});
  }
  top_n_ = 0;
  for (const auto& scorer : scorers_) top_n_ = std::max(top_n_, scorer->top_needed(probe));
}

void AnswerCapture::on_layer(const model::LayerView& view) {
  if (view.layer == 0) {
    layer_mass_.clear();
    layer_weight_.clear();
    layer_position_.clear();
    mass_.reset();
  }
  const int64_t num_keys = view.first_position + view.q.size(2);
  if (view.attention_window > 0 && view.attention_window < num_keys) {
    mark_unreadable(view);
  } else {
    read_rows(view);
  }
}

void AnswerCapture::read_rows(const model::LayerView& view) {
  const at::Tensor q = view.q[0];
  const at::Tensor keys = keys_(view.layer);
  const at::Tensor lse = view.lse[0];
  const at::Tensor mass =
      kernels::span_attention(q, keys, view.scale, view.first_position, spans_, lse);
  std::vector<at::Tensor> kinds{mass.narrow(2, 0, num_needle_spans_).sum(2),
                                mass.narrow(2, num_needle_spans_, num_answer_spans_).sum(2)};
  if (ends_) {
    kinds.push_back(mass.select(2, mass.size(2) - 1));
    kinds.push_back(recent_mass(view, keys));
  }
  layer_mass_.push_back(at::stack(kinds, /*dim=*/2));
  if (top_n_ > 0) {
    kernels::TopAttended top =
        kernels::top_attended(q, keys, view.scale, view.first_position, top_n_, lse);
    layer_weight_.push_back(std::move(top.weight));
    layer_position_.push_back(std::move(top.position));
  }
}

// The window has moved on: some of the context is out of sight, so that a score would measure the
// needle's place and not the head.
void AnswerCapture::mark_unreadable(const model::LayerView& view) {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  const int64_t n = view.q.size(2);
  layer_mass_.push_back(
      at::full({shape_.num_query_heads, n, ends_ ? 4 : 2}, kNaN, view.lse.options()));
  if (top_n_ > 0) {
    const std::vector<int64_t> size{shape_.num_query_heads, n, top_n_};
    layer_weight_.push_back(at::full(size, kNaN, view.lse.options()));
    layer_position_.push_back(at::full(size, -1, view.lse.options().dtype(at::kLong)));
  }
}

void AnswerCapture::gather() {
  if (static_cast<int64_t>(layer_mass_.size()) != shape_.num_layers) {
    throw std::logic_error("AnswerCapture: no complete pass was observed");
  }
  // [L, Hq, n, x] -> a row's numbers of all heads stand together: [n, x, L * Hq] for the masses,
  // [n, L * Hq, x] for the top positions.
  const auto to_host = [](const at::Tensor& rows) { return rows.to(at::kCPU).contiguous(); };
  mass_ = to_host(at::stack(layer_mass_).permute({2, 3, 0, 1}).flatten(2));
  if (top_n_ > 0) {
    weight_ = to_host(at::stack(layer_weight_).permute({2, 0, 1, 3}).flatten(1, 2));
    position_ = to_host(at::stack(layer_position_).permute({2, 0, 1, 3}).flatten(1, 2));
  }
}

HeadReading AnswerCapture::reading(int64_t row, int64_t token) {
  if (!mass_.defined()) gather();
  const int64_t num_heads = shape_.num_layers * shape_.num_query_heads;
  HeadReading reading;
  reading.token = token;
  const float* mass = mass_.const_data_ptr<float>() + row * mass_.size(1) * num_heads;
  const auto take = [&](std::vector<float>& kind) {
    kind.assign(mass, mass + num_heads);
    mass += num_heads;
  };
  take(reading.needle_mass);
  take(reading.answer_mass);
  if (ends_) {
    take(reading.sink_mass);
    take(reading.recent_mass);
  }
  if (top_n_ > 0) {
    const int64_t size = num_heads * top_n_;
    const float* weight = weight_.const_data_ptr<float>() + row * size;
    const int64_t* position = position_.const_data_ptr<int64_t>() + row * size;
    reading.top_n = top_n_;
    reading.top_weight.assign(weight, weight + size);
    reading.top_position.assign(position, position + size);
  }
  return reading;
}

}  // namespace headscope::profiler
