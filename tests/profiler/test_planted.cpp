#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>

#include "analysis/head_ranking.h"
#include "profiler/profile_run.h"
#include "tests/profiler/planted_setup.h"

namespace headscope::testing {
namespace {

using profiler::PlantedModelOptions;

PlantedModelOptions shape(int64_t layers, int64_t query_heads, int64_t kv_heads, HeadId planted) {
  PlantedModelOptions options;
  options.num_layers = layers;
  options.num_query_heads = query_heads;
  options.num_kv_heads = kv_heads;
  options.planted = planted;
  return options;
}

}  // namespace

TEST_CASE("a planted model takes milliseconds and a few hundred KB", "[profiler]") {
  const ScratchFolder folder;
  const auto start = std::chrono::steady_clock::now();
  profiler::write_planted_model({}, folder.path().string());
  const auto elapsed = std::chrono::steady_clock::now() - start;
  int64_t bytes = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder.path())) {
    bytes += static_cast<int64_t>(file.file_size());
  }
  CHECK(bytes < 700 * 1024);
  // Measured at 20 ms; the bound leaves room for a busy machine.
  CHECK(std::chrono::duration<double>(elapsed).count() < 1.0);
}

TEST_CASE("the same seed plants the same model, another seed another", "[profiler]") {
  const PlantedSetup first;
  const PlantedSetup again;
  PlantedModelOptions other;
  other.seed = 7;
  const PlantedSetup different(other);
  CHECK(first.identity.fingerprint == again.identity.fingerprint);
  CHECK(first.identity.fingerprint != different.identity.fingerprint);
}

TEST_CASE("impossible planted models are refused", "[profiler]") {
  const ScratchFolder folder;
  for (const PlantedModelOptions& wrong :
       {shape(4, 4, 3, {1, 0}), shape(4, 4, 2, {0, 0}), shape(4, 4, 2, {4, 0}),
        shape(4, 4, 2, {1, 4}), shape(1, 4, 2, {1, 0})}) {
    CHECK_THROWS_AS(profiler::write_planted_model(wrong, folder.path().string()),
                    std::invalid_argument);
  }
}

TEST_CASE("the planted head answers every probe and ranks first under every retrieval score",
          "[profiler]") {
  const PlantedModelOptions options =
      GENERATE(shape(3, 4, 4, {1, 2}), shape(4, 4, 2, {2, 3}), shape(5, 9, 3, {3, 7}),
               shape(2, 4, 1, {1, 0}), shape(3, 10, 2, {2, 6}), shape(3, 14, 2, {1, 13}),
               shape(3, 8, 1, {2, 5}), shape(6, 2, 1, {5, 1}));
  INFO(options.num_layers << " layers, " << options.num_query_heads << " query heads, "
                          << options.num_kv_heads << " KV heads, planted (" << options.planted.layer
                          << ", " << options.planted.head << ")");
  const PlantedSetup planted(options);
  profiler::ProfileOptions profile_options;
  profile_options.scores = {"srh", "srh_paper", "srh_code", "retrieval", "r2"};
  profiler::SilentProgress silent;
  const HeadProfile profile =
      profiler::profile_heads(planted.model(), planted.probes(), profile_options, {}, silent)
          .profile;
  for (const ProbeRecord& probe : profile.probes) {
    INFO("probe " << probe.id << ": \"" << probe.response << "\" for \"" << probe.answer << "\"");
    CHECK(probe.success);
  }
  REQUIRE(profile.num_successful() == static_cast<int64_t>(profile.probes.size()));
  for (const auto& [name, table] : profile.scores) {
    const auto ranked = analysis::rank_heads(table.mean);
    INFO(name << ": " << ranked[0].score << " at (" << ranked[0].head.layer << ", "
              << ranked[0].head.head << "), then " << ranked[1].score << " at ("
              << ranked[1].head.layer << ", " << ranked[1].head.head << ")");
    CHECK(ranked[0].head == options.planted);
    // The margin: the next head has less than half of the planted head's score. (A head that
    // attends evenly may have its largest weight on the right token by chance: `retrieval` sees no
    // more.)
    CHECK(ranked[1].score < ranked[0].score / 2.0);
  }
  // Its attention lies on the needle alone.
  CHECK(profile.scores.at("srh").mean.at(options.planted.layer, options.planted.head) > 0.95);
  CHECK(profile.scores.at("retrieval").mean.at(options.planted.layer, options.planted.head) ==
        Approx(1.0).margin(0.1));
}

}  // namespace headscope::testing
