#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>

#include "profiler/capture.h"
#include "profiler/scorer_registry.h"
#include "runtime/full_kv_cache.h"

namespace headscope::testing {
namespace {

constexpr int64_t kPrompt = 96;
constexpr int64_t kRows = 3;

// A prompt of 96 keys, then 3 answer rows, on one layer.
struct OneLayer {
  ModelShape shape;
  runtime::FullKvCache cache{1};
  profiler::Probe probe;
  model::LayerView view;

  OneLayer(uint64_t seed, int64_t num_kv_heads, int64_t group_size) {
    shape.num_layers = 1;
    shape.num_query_heads = num_kv_heads * group_size;
    shape.num_kv_heads = num_kv_heads;
    probe.prompt.assign(kPrompt + 1, 0);
    // Two spans each, as of a question that needs two statements.
    probe.needle_spans = {{3, 8}, {20, 26}};
    probe.answer_spans = {{6, 8}, {21, 22}};
    at::manual_seed(seed);
    static_cast<void>(cache.attend(step(kPrompt)));
    const runtime::LayerStep last = step(kRows);
    const runtime::LayerAttention attention = cache.attend(last);
    view.layer = 0;
    view.first_position = kPrompt;
    view.scale = last.scale;
    view.q = last.q;
    view.k = last.k;
    view.v = last.v;
    view.z = attention.z;
    view.lse = attention.lse;
  }

  [[nodiscard]] runtime::LayerStep step(int64_t n) const {
    runtime::LayerStep made;
    made.q = at::randn({1, shape.num_query_heads, n, 8}) * 2;
    made.k = at::randn({1, shape.num_kv_heads, n, 8}) * 2;
    made.v = at::randn({1, shape.num_kv_heads, n, 8});
    made.scale = 0.35;
    return made;
  }

  // Softmax weights of a row and head over the keys that the row sees.
  [[nodiscard]] at::Tensor weights(int64_t row, int64_t head) const {
    const int64_t kv_head = head / shape.query_group_size();
    const at::Tensor keys =
        cache.keys(0)[0][kv_head].narrow(0, 0, kPrompt + row + 1).to(at::kDouble);
    return (at::mv(keys, view.q[0][head][row].to(at::kDouble)) * view.scale).softmax(0);
  }
};

double mass(const at::Tensor& weights, int64_t begin, int64_t end) {
  return weights.narrow(0, begin, end - begin).sum().item<double>();
}

}  // namespace

TEST_CASE("a reading holds each row's own masses and top positions at every group size",
          "[profiler]") {
  const int64_t group_size = GENERATE(1, 2, 4, 5, 7, 8);
  const uint64_t seed = 17;
  INFO("group size " << group_size << ", seed " << seed);
  const OneLayer layer(seed, /*num_kv_heads=*/3, group_size);
  const profiler::ScorerSet scorers =
      profiler::make_scorers({"srh", "retrieval", "r2", "sink", "recency"}, layer.shape);
  profiler::AnswerCapture capture(layer.shape, layer.cache, scorers);
  capture.watch(layer.probe);
  capture.on_layer(layer.view);
  for (int64_t row = 0; row < kRows; ++row) {
    const profiler::HeadReading reading = capture.reading(row, 100 + row);
    CHECK(reading.token == 100 + row);
    REQUIRE(reading.top_n == 3);  // as many as the answer has tokens
    REQUIRE(reading.needle_mass.size() == static_cast<size_t>(3 * group_size));
    for (int64_t head = 0; head < 3 * group_size; ++head) {
      INFO("row " << row << ", head " << head);
      const at::Tensor weights = layer.weights(row, head);
      const int64_t seen = weights.size(0);
      const auto at_head = static_cast<size_t>(head);
      CHECK(reading.needle_mass[at_head] ==
            Approx(mass(weights, 3, 8) + mass(weights, 20, 26)).margin(1e-5));
      CHECK(reading.answer_mass[at_head] ==
            Approx(mass(weights, 6, 8) + mass(weights, 21, 22)).margin(1e-5));
      CHECK(reading.sink_mass[at_head] == Approx(mass(weights, 0, 4)).margin(1e-5));
      CHECK(reading.recent_mass[at_head] == Approx(mass(weights, seen - 64, seen)).margin(1e-5));
      const auto [best, order] = weights.topk(3);
      for (int64_t i = 0; i < 3; ++i) {
        const auto place = static_cast<size_t>(head * 3 + i);
        CHECK(reading.top_position[place] == order[i].item<int64_t>());
        CHECK(reading.top_weight[place] == Approx(best[i].item<double>()).margin(1e-5));
      }
    }
  }
}

TEST_CASE("what no score asks for is not read", "[profiler]") {
  const OneLayer layer(2, 1, 2);
  const profiler::ScorerSet scorers = profiler::make_scorers({"srh", "srh_code"}, layer.shape);
  profiler::AnswerCapture capture(layer.shape, layer.cache, scorers);
  capture.watch(layer.probe);
  capture.on_layer(layer.view);
  const profiler::HeadReading reading = capture.reading(0, 1);
  CHECK(reading.needle_mass.size() == 2);
  CHECK(reading.top_n == 0);
  CHECK(reading.top_position.empty());
  CHECK(reading.top_weight.empty());
  CHECK(reading.sink_mass.empty());
  CHECK(reading.recent_mass.empty());
}

TEST_CASE("a context shorter than its ends gives all of its mass", "[profiler]") {
  OneLayer layer(3, 1, 2);
  const profiler::ScorerSet scorers = profiler::make_scorers({"sink", "recency"}, layer.shape);
  runtime::FullKvCache short_cache(1);
  const runtime::LayerStep step = layer.step(2);
  const runtime::LayerAttention attention = short_cache.attend(step);
  layer.view.first_position = 0;
  layer.view.q = step.q;
  layer.view.lse = attention.lse;
  layer.probe.prompt.assign(2, 0);
  layer.probe.needle_spans = {{0, 1}};
  layer.probe.answer_spans = {{0, 1}};
  profiler::AnswerCapture capture(layer.shape, short_cache, scorers);
  capture.watch(layer.probe);
  capture.on_layer(layer.view);
  CHECK(capture.reading(1, 0).sink_mass[0] == Approx(1.0));
  CHECK(capture.reading(1, 0).recent_mass[1] == Approx(1.0));
}

TEST_CASE("a sliding window that no longer holds the context gives NaN", "[profiler]") {
  OneLayer layer(4, 1, 2);
  const profiler::ScorerSet scorers =
      profiler::make_scorers({"srh", "r2", "sink", "recency"}, layer.shape);
  profiler::AnswerCapture capture(layer.shape, layer.cache, scorers);
  capture.watch(layer.probe);
  layer.view.attention_window = kPrompt + kRows;  // exactly the keys there are
  capture.on_layer(layer.view);
  CHECK_FALSE(std::isnan(capture.reading(2, 0).needle_mass[0]));
  layer.view.attention_window = kPrompt + kRows - 1;
  capture.on_layer(layer.view);
  const profiler::HeadReading reading = capture.reading(2, 0);
  CHECK(std::isnan(reading.needle_mass[0]));
  CHECK(std::isnan(reading.answer_mass[1]));
  CHECK(std::isnan(reading.sink_mass[0]));
  CHECK(std::isnan(reading.recent_mass[1]));
  CHECK(std::isnan(reading.top_weight[0]));
  CHECK(reading.top_position[0] == -1);
}

TEST_CASE("a reading before a whole pass is the caller's mistake", "[profiler]") {
  const OneLayer layer(5, 1, 2);
  ModelShape two_layers = layer.shape;
  two_layers.num_layers = 2;
  const profiler::ScorerSet scorers = profiler::make_scorers({"srh"}, two_layers);
  profiler::AnswerCapture capture(two_layers, layer.cache, scorers);
  capture.watch(layer.probe);
  CHECK_THROWS_AS(capture.reading(0, 1), std::logic_error);
  capture.on_layer(layer.view);
  CHECK_THROWS_AS(capture.reading(0, 1), std::logic_error);
}

}  // namespace headscope::testing
