// Answers decoded side by side against each decoded alone.
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "model/generate.h"
#include "profiler/greedy_answer.h"
#include "profiler/tasks/task_registry.h"
#include "runtime/compressor.h"
#include "runtime/full_kv_cache.h"
#include "tests/profiler/planted_setup.h"

namespace headscope::testing {

TEST_CASE("answers side by side are those decoded alone, though they end apart", "[profiler]") {
  const PlantedSetup planted;
  const profiler::MeasuredModel model = planted.model();
  const profiler::TaskSample sample = profiler::build_task_samples(
      {.task = "needle", .count = 1, .context_length = 256, .seed = 9}, planted.writer())[0];
  runtime::FullKvCache full(planted.identity.shape.num_layers, {.window_tokens = 8});
  const int64_t first = profiler::greedy_choice(model.decoder.prefill(sample.prompt, full));
  const auto caches = [&] {
    std::vector<std::unique_ptr<runtime::KvCache>> made;
    made.push_back(full.fork());
    for (const int64_t budget : {16, 40, 120}) {
      made.push_back(
          runtime::compress(full, runtime::uniform_plan("snapkv", planted.identity.shape, budget)));
    }
    return made;
  };
  const profiler::AnswerLimits limits{.max_tokens = 24};
  std::vector<std::string> alone;
  for (const auto& cache : caches()) {
    alone.push_back(profiler::decode_greedily(model, *cache, first, limits).text());
  }
  // The last one is told that its answer ends at once.
  const auto together = caches();
  std::vector<runtime::KvCache*> sequences;
  for (const auto& cache : together) sequences.push_back(cache.get());
  std::vector<int64_t> first_tokens(sequences.size(), first);
  const std::vector<int64_t> ends = model::stop_ids(planted.decoder->config(), *planted.tokenizer);
  REQUIRE_FALSE(ends.empty());
  first_tokens.back() = ends.front();
  const auto answers = profiler::decode_side_by_side(model, sequences, first_tokens, limits);
  REQUIRE(answers.size() == alone.size());
  for (size_t i = 0; i + 1 < alone.size(); ++i) CHECK(answers[i].text() == alone[i]);
  CHECK(alone[0] != alone[1]);
  CHECK(answers.back().ids().empty());
  CHECK_FALSE(answers[0].ids().empty());
}

}  // namespace headscope::testing
