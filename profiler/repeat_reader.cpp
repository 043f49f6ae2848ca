#include "profiler/repeat_reader.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <string>

#include "model/observer.h"
#include "outputs/input_error.h"
#include "runtime/full_kv_cache.h"

namespace headscope::profiler {
namespace {

class RepeatCapture final : public model::Observer {
 public:
  RepeatCapture(const runtime::FullKvCache& cache,
                int64_t num_layers,
                int64_t begin,
                int64_t period,
                int64_t num_tokens)
      : cache_(cache),
        begin_(begin),
        period_(period),
        num_tokens_(num_tokens),
        layers_(static_cast<size_t>(num_layers)) {}

  void on_layer(const model::LayerView& view) override {
    at::Tensor& sums = layers_[static_cast<size_t>(view.layer)];
    if (!sums.defined()) {
      const bool unreadable = view.attention_window > 0 && view.attention_window < num_tokens_;
      sums =
          at::full({2, view.q.size(1)}, unreadable ? std::numeric_limits<double>::quiet_NaN() : 0.0,
                   view.lse.options().dtype(at::kDouble));
    }
    for (int64_t back = period_; view.first_position + view.q.size(2) - back > begin_;
         back += period_) {
      sums[0] += mass_at_distance(view, back, back);
      sums[1] += mass_at_distance(view, back, back - 1);
    }
  }

  // [L, 2, Hq]: sums over rows of the echo and the induction mass.
  [[nodiscard]] at::Tensor sums() const { return at::stack(layers_).to(at::kCPU).contiguous(); }

 private:
  // Over this pass's rows i with i - back >= begin: the sum of a(h, i, i - distance), [Hq].
  [[nodiscard]] at::Tensor mass_at_distance(const model::LayerView& view,
                                            int64_t back,
                                            int64_t distance) const {
    const int64_t skipped = std::max<int64_t>(0, begin_ + back - view.first_position);
    const int64_t rows = view.q.size(2) - skipped;
    const at::Tensor keys = cache_.keys(view.layer)[0].narrow(
        1, view.first_position + skipped - distance, rows);  // [Hkv, rows, d]
    const int64_t kv_heads = keys.size(0);
    const at::Tensor q = view.q[0].narrow(1, skipped, rows).to(at::kFloat);
    const at::Tensor products =
        (q.view({kv_heads, -1, rows, q.size(2)}) * keys.unsqueeze(1).to(at::kFloat)).sum(-1);
    const at::Tensor lse = view.lse[0].narrow(1, skipped, rows);
    return (products.flatten(0, 1) * view.scale - lse).exp().sum(1).to(at::kDouble);
  }

  const runtime::FullKvCache& cache_;
  int64_t begin_;
  int64_t period_;
  int64_t num_tokens_;
  std::vector<at::Tensor> layers_;  // [2, Hq] float64
};

}  // namespace

int64_t repeat_begin(const Probe& probe) {
  const auto size = static_cast<int64_t>(probe.prompt.size());
  const int64_t period = probe.repeat_period;
  const auto repeats = [&](int64_t i) {
    return probe.prompt[static_cast<size_t>(i)] == probe.prompt[static_cast<size_t>(i + period)];
  };
  int64_t begin = std::max<int64_t>(size - period, 0);
  while (period >= 2 && begin > 0 && repeats(begin - 1)) --begin;
  if (period < 2 || size - begin < 2 * period) {
    throw InputError("probe " + std::to_string(probe.id),
                     "tokens that repeat at least once after a period of 2 or more",
                     std::to_string(size) + " tokens and a period of " + std::to_string(period));
  }
  return begin;
}

HeadReading read_repeats(const MeasuredModel& model, const Probe& probe, int64_t chunk_tokens) {
  const int64_t begin = repeat_begin(probe);
  const ModelShape& shape = model.identity.shape;
  const auto size = static_cast<int64_t>(probe.prompt.size());
  runtime::FullKvCache cache(shape.num_layers, {.reserve_tokens = size});
  RepeatCapture capture(cache, shape.num_layers, begin, probe.repeat_period, size);
  static_cast<void>(model.decoder.prefill(
      probe.prompt, cache,
      {.chunk_tokens = chunk_tokens, .logits = model::LogitRows::kNone, .observer = &capture}));
  const at::Tensor means =
      (capture.sums() / static_cast<double>(size - begin - probe.repeat_period)).to(at::kFloat);
  HeadReading reading;
  const auto take = [&](int64_t kind) {
    const at::Tensor of_kind = means.select(1, kind).flatten().contiguous();
    const float* values = of_kind.const_data_ptr<float>();
    return std::vector<float>(values, values + of_kind.numel());
  };
  reading.echo_mass = take(0);
  reading.induction_mass = take(1);
  return reading;
}

}  // namespace headscope::profiler
