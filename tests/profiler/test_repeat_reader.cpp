// Echo and induction masses against the attention matrix of the same queries and keys.
#include "profiler/repeat_reader.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>

#include "analysis/head_ranking.h"
#include "outputs/input_error.h"
#include "profiler/profile_run.h"
#include "runtime/full_kv_cache.h"
#include "tests/profiler/planted_setup.h"

namespace headscope::testing {
namespace {

// A first token that does not repeat, then `copies` times `period` ids drawn without order.
profiler::Probe repeats(int64_t period, int64_t copies, int64_t vocab_size) {
  profiler::Probe made;
  made.family = "repeat";
  made.needle_id = "repeat-1";
  made.repeat_period = period;
  made.prompt = {0};
  for (int64_t i = 0; i < period * copies; ++i) {
    made.prompt.push_back(1 + (i % period * 7919 + 13) % (vocab_size - 1));
  }
  return made;
}

// Keeps every query and key of a pass.
class KeepAll final : public model::Observer {
 public:
  std::vector<at::Tensor> q, k;
  double scale = 0.0;
  void on_layer(const model::LayerView& view) override {
    q.push_back(view.q[0].clone());
    k.push_back(view.k[0].clone());
    scale = view.scale;
  }
};

struct Masses {
  double echo = 0.0;
  double induction = 0.0;
};

// From the whole attention matrix in double; s = 1.
Masses by_matrix(const at::Tensor& q, const at::Tensor& k, double scale, int64_t period) {
  const int64_t n = q.size(0);
  const at::Tensor mask = at::ones({n, n}, at::kBool).triu(1);
  const at::Tensor a = (at::matmul(q.to(at::kDouble), k.to(at::kDouble).t()) * scale)
                           .masked_fill(mask, -INFINITY)
                           .softmax(-1);
  Masses sum;
  for (int64_t i = 1 + period; i < n; ++i) {
    for (int64_t j = i - period; j >= 1; j -= period) {
      sum.echo += a[i][j].item<double>();
      sum.induction += a[i][j + 1].item<double>();
    }
  }
  const auto rows = static_cast<double>(n - 1 - period);
  return {sum.echo / rows, sum.induction / rows};
}

}  // namespace

TEST_CASE("echo and induction are those of the attention matrix, in any chunks", "[profiler]") {
  profiler::PlantedModelOptions options;
  options.num_query_heads = 6;
  options.num_kv_heads = 2;
  const PlantedSetup planted(options);
  const profiler::Probe probe = repeats(21, 4, planted.identity.shape.vocab_size);
  KeepAll all;
  runtime::FullKvCache cache(planted.identity.shape.num_layers);
  static_cast<void>(planted.decoder->prefill(
      probe.prompt, cache, {.logits = model::LogitRows::kNone, .observer = &all}));
  REQUIRE(all.q.size() == 4);

  const int64_t chunk = GENERATE(16, 40, 256);
  INFO("chunks of " << chunk);
  const profiler::HeadReading reading = profiler::read_repeats(planted.model(), probe, chunk);
  REQUIRE(reading.echo_mass.size() == 24);
  for (int64_t layer = 0; layer < 4; ++layer) {
    for (int64_t head = 0; head < 6; ++head) {
      INFO("layer " << layer << ", head " << head);
      const auto at_layer = static_cast<size_t>(layer);
      const Masses expected =
          by_matrix(all.q[at_layer][head], all.k[at_layer][head / 3], all.scale, 21);
      const auto place = static_cast<size_t>(layer * 6 + head);
      CHECK(reading.echo_mass[place] == Approx(expected.echo).margin(1e-5));
      CHECK(reading.induction_mass[place] == Approx(expected.induction).margin(1e-5));
    }
  }
}

TEST_CASE("the planted head leads by induction and has no echo, at every group size",
          "[profiler]") {
  const int64_t group_size = GENERATE(1, 2, 4, 5, 7, 8);
  profiler::PlantedModelOptions options;
  options.num_query_heads = 2 * group_size;
  options.num_kv_heads = 2;
  options.planted = {2, group_size};
  INFO("group size " << group_size);
  const PlantedSetup planted(options);
  profiler::ProfileOptions run;
  run.scores = {"induction", "echo"};
  profiler::SilentProgress silent;
  const profiler::Probe probe = repeats(50, 4, planted.identity.shape.vocab_size);
  const HeadProfile profile =
      profiler::profile_heads(planted.model(), {probe}, run, {}, silent).profile;
  REQUIRE(profile.probes.size() == 1);
  CHECK(profile.probes[0].success);
  CHECK(profile.probes[0].family == "repeat");
  const auto ranked = analysis::rank_heads(profile.scores.at("induction").mean);
  CHECK(ranked[0].head == options.planted);
  CHECK(ranked[0].score > 0.9);
  CHECK(ranked[1].score < ranked[0].score / 2.0);
  CHECK(profile.scores.at("echo").mean.at(2, group_size) < 0.1);
}

TEST_CASE("questions and repeated tokens share a profile, each with samples of its own scores",
          "[profiler]") {
  const PlantedSetup planted;
  std::vector<profiler::Probe> probes = planted.probes({256}, {0.3, 0.7}, 1);
  probes.push_back(repeats(40, 4, planted.identity.shape.vocab_size));
  probes.back().id = 1000;
  profiler::ProfileOptions run;
  run.scores = {"srh", "sink", "induction"};
  profiler::SilentProgress silent;
  const HeadProfile profile =
      profiler::profile_heads(planted.model(), probes, run, {}, silent).profile;
  const size_t heads = 16;
  for (size_t i = 0; i < probes.size(); ++i) {
    const bool repeated = probes[i].repeat_period > 0;
    INFO("probe " << i);
    CHECK(std::isnan(profile.scores.at("srh").samples[i * heads]) == repeated);
    CHECK(std::isnan(profile.scores.at("sink").samples[i * heads]) == repeated);
    CHECK(std::isnan(profile.scores.at("induction").samples[i * heads]) != repeated);
  }
}

TEST_CASE("what does not repeat is refused", "[profiler]") {
  profiler::Probe probe = repeats(8, 2, 100);
  CHECK(profiler::repeat_begin(probe) == 1);
  probe.prompt[3] = 99;
  CHECK_THROWS_AS(profiler::repeat_begin(probe), InputError);
  profiler::Probe once = repeats(8, 1, 100);
  CHECK_THROWS_AS(profiler::repeat_begin(once), InputError);
  once.repeat_period = 1;
  CHECK_THROWS_AS(profiler::repeat_begin(once), InputError);
}

}  // namespace headscope::testing
