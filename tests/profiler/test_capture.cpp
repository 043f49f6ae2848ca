#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>

#include "profiler/capture.h"
#include "runtime/full_kv_cache.h"

namespace headscope::testing {
namespace {

// Two query heads on one KV head, a prompt of 12 keys, then 3 answer rows.
struct OneLayer {
  ModelShape shape;
  runtime::FullKvCache cache{1};
  profiler::Probe probe;
  model::LayerView view;

  explicit OneLayer(uint64_t seed) {
    shape.num_layers = 1;
    shape.num_query_heads = 2;
    shape.num_kv_heads = 1;
    probe.prompt.assign(13, 0);
    probe.needle_spans = {{3, 8}};
    probe.answer_spans = {{6, 8}};
    at::manual_seed(seed);
    static_cast<void>(cache.attend(step(12)));
    const runtime::LayerStep last = step(3);
    const runtime::LayerAttention attention = cache.attend(last);
    view.layer = 0;
    view.first_position = 12;
    view.scale = last.scale;
    view.q = last.q;
    view.k = last.k;
    view.v = last.v;
    view.z = attention.z;
    view.lse = attention.lse;
  }

  [[nodiscard]] static runtime::LayerStep step(int64_t n) {
    runtime::LayerStep made;
    made.q = at::randn({1, 2, n, 8}) * 2;
    made.k = at::randn({1, 1, n, 8}) * 2;
    made.v = at::randn({1, 1, n, 8});
    made.scale = 0.35;
    return made;
  }

  // Softmax weights of a row and head over the keys that the row sees.
  [[nodiscard]] at::Tensor weights(int64_t row, int64_t head) const {
    const at::Tensor keys = cache.keys(0)[0][0].narrow(0, 0, 12 + row + 1).to(at::kDouble);
    return (at::mv(keys, view.q[0][head][row].to(at::kDouble)) * view.scale).softmax(0);
  }
};

}  // namespace

TEST_CASE("a reading holds each row's own masses and top position", "[profiler]") {
  const uint64_t seed = GENERATE(uint64_t{1}, uint64_t{2}, uint64_t{3});
  INFO("seed " << seed);
  const OneLayer layer(seed);
  profiler::AnswerCapture capture(layer.shape, layer.cache, /*top_position=*/true);
  capture.watch(layer.probe);
  capture.on_layer(layer.view);
  for (int64_t row = 0; row < 3; ++row) {
    const profiler::HeadReading reading = capture.reading(row, 100 + row);
    CHECK(reading.token == 100 + row);
    REQUIRE(reading.needle_mass.size() == 2);
    for (int64_t head = 0; head < 2; ++head) {
      INFO("row " << row << ", head " << head);
      const at::Tensor weights = layer.weights(row, head);
      const auto at_head = static_cast<size_t>(head);
      CHECK(reading.needle_mass[at_head] ==
            Approx(weights.narrow(0, 3, 5).sum().item<double>()).margin(1e-5));
      CHECK(reading.answer_mass[at_head] ==
            Approx(weights.narrow(0, 6, 2).sum().item<double>()).margin(1e-5));
      CHECK(reading.top_position[at_head] == weights.argmax().item<int64_t>());
    }
  }
}

TEST_CASE("a sliding window that no longer holds the context gives NaN", "[profiler]") {
  OneLayer layer(4);
  profiler::AnswerCapture capture(layer.shape, layer.cache, /*top_position=*/true);
  capture.watch(layer.probe);
  layer.view.attention_window = 15;  // exactly the keys there are
  capture.on_layer(layer.view);
  CHECK_FALSE(std::isnan(capture.reading(2, 0).needle_mass[0]));
  layer.view.attention_window = 14;
  capture.on_layer(layer.view);
  const profiler::HeadReading reading = capture.reading(2, 0);
  CHECK(std::isnan(reading.needle_mass[0]));
  CHECK(std::isnan(reading.answer_mass[1]));
  CHECK(reading.top_position[0] == -1);
}

TEST_CASE("a reading before a whole pass is the caller's mistake", "[profiler]") {
  const OneLayer layer(5);
  ModelShape two_layers = layer.shape;
  two_layers.num_layers = 2;
  profiler::AnswerCapture capture(two_layers, layer.cache, /*top_position=*/false);
  capture.watch(layer.probe);
  CHECK_THROWS_AS(capture.reading(0, 1), std::logic_error);
  capture.on_layer(layer.view);
  CHECK_THROWS_AS(capture.reading(0, 1), std::logic_error);
}

}  // namespace headscope::testing
