#include "profiler/capture.h"

#include <ATen/ATen.h>

#include <limits>
#include <stdexcept>

namespace headscope::profiler {

AnswerCapture::AnswerCapture(const ModelShape& shape,
                             const runtime::FullKvCache& cache,
                             bool top_position)
    : shape_(shape), cache_(cache), top_position_(top_position) {}

void AnswerCapture::watch(const Probe& probe) {
  spans_.clear();
  for (const TokenSpan& span : probe.needle_spans) spans_.push_back({span.begin, span.end});
  num_needle_spans_ = static_cast<int64_t>(spans_.size());
  for (const TokenSpan& span : probe.answer_spans) spans_.push_back({span.begin, span.end});
}

void AnswerCapture::on_layer(const model::LayerView& view) {
  if (view.layer == 0) {
    layer_mass_.clear();
    layer_position_.clear();
    mass_.reset();
    position_.reset();
  }
  const int64_t n = view.q.size(2);
  const int64_t num_keys = view.first_position + n;
  if (view.attention_window > 0 && view.attention_window < num_keys) {
    // The window has moved on: some of the context is out of sight, so that a
    // score would measure the needle's place and not the head.
    layer_mass_.push_back(at::full({shape_.num_query_heads, n, 2},
                                   std::numeric_limits<float>::quiet_NaN(), view.lse.options()));
    layer_position_.push_back(
        at::full({shape_.num_query_heads, n}, -1, view.q.options().dtype(at::kLong)));
    return;
  }
  const at::Tensor q = view.q[0];
  const at::Tensor keys = cache_.keys(view.layer)[0];
  const at::Tensor lse = view.lse[0];
  const at::Tensor mass =
      kernels::span_attention(q, keys, view.scale, view.first_position, spans_, lse);
  const auto num_spans = static_cast<int64_t>(spans_.size());
  layer_mass_.push_back(
      at::stack({mass.narrow(2, 0, num_needle_spans_).sum(2),
                 mass.narrow(2, num_needle_spans_, num_spans - num_needle_spans_).sum(2)},
                /*dim=*/2));
  if (top_position_) {
    layer_position_.push_back(kernels::top_attended(q, keys, view.scale, view.first_position,
                                                    /*top_n=*/1, lse)
                                  .position.squeeze(2));
  }
}

void AnswerCapture::gather() {
  if (static_cast<int64_t>(layer_mass_.size()) != shape_.num_layers) {
    throw std::logic_error("AnswerCapture: no complete pass was observed");
  }
  const auto per_row = [](const at::Tensor& of_heads) {
    return of_heads.to(at::kCPU).contiguous();
  };
  // [L, Hq, n, 2] -> [n, 2, L * Hq]: a row's numbers of one kind stand
  // together.
  mass_ = per_row(at::stack(layer_mass_).permute({2, 3, 0, 1}).flatten(2));
  if (top_position_) position_ = per_row(at::stack(layer_position_).permute({2, 0, 1}).flatten(1));
}

HeadReading AnswerCapture::reading(int64_t row, int64_t token) {
  if (!mass_.defined()) gather();
  const int64_t num_heads = shape_.num_layers * shape_.num_query_heads;
  HeadReading reading;
  reading.token = token;
  const float* mass = mass_.const_data_ptr<float>() + row * 2 * num_heads;
  reading.needle_mass.assign(mass, mass + num_heads);
  reading.answer_mass.assign(mass + num_heads, mass + 2 * num_heads);
  if (top_position_) {
    const int64_t* position = position_.const_data_ptr<int64_t>() + row * num_heads;
    reading.top_position.assign(position, position + num_heads);
  }
  return reading;
}

}  // namespace headscope::profiler
