// Questions of one context asked in one pass, against each of them alone.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "profiler/probe_schedule.h"
#include "profiler/probes/shared_haystack.h"
#include "profiler/profile_run.h"
#include "profiler/question_batch.h"
#include "profiler/scorer_registry.h"
#include "tests/profiler/planted_setup.h"
#include "tests/profiler/same_profiles.h"

namespace headscope::testing {
namespace {

using profiler::Probe;
using profiler::ProfileOptions;

constexpr uint64_t kSeed = 5;
// Float32, a row's sums taken in another order. The planted head's logits are near 200, where
// neighbouring floats lie 1.5e-5 apart, and a score is the exponential of such: four of them.
constexpr double kRelative = 6e-5;
constexpr double kAbsolute = 1e-8;

std::vector<Probe> shared_probes_of(const profiler::PromptWriter& writer,
                                    std::vector<int64_t> context_lengths,
                                    int64_t num_needles) {
  profiler::Haystack haystack = profiler::Haystack::prose(kSeed);
  profiler::SharedHaystackOptions options;
  options.context_lengths = std::move(context_lengths);
  options.seed = kSeed;
  std::vector<Probe> probes;
  for (const profiler::SharedGroup& group : profiler::build_shared_probes(
           options, profiler::questions_of(profiler::built_in_needles(num_needles, kSeed)),
           haystack, writer)) {
    probes.insert(probes.end(), group.probes.begin(), group.probes.end());
  }
  return probes;
}

std::vector<Probe> shared_probes(const PlantedSetup& planted,
                                 std::vector<int64_t> context_lengths = {400, 700}) {
  return shared_probes_of(planted.writer(), std::move(context_lengths), 12);
}

size_t largest_unit(const std::vector<Probe>& probes) {
  size_t largest = 0;
  for (const auto& unit : profiler::schedule_probes(probes)) {
    largest = std::max(largest, unit.size());
  }
  return largest;
}

HeadProfile run_on(const profiler::MeasuredModel& model,
                   const std::vector<Probe>& probes,
                   const ProfileOptions& options) {
  profiler::SilentProgress silent;
  return profiler::profile_heads(model, probes, options, {}, silent).profile;
}

HeadProfile run(const PlantedSetup& planted,
                const std::vector<Probe>& probes,
                const ProfileOptions& options = {}) {
  return run_on(planted.model(), probes, options);
}

// As one would run a probe without this program's help: alone, from nothing, token by token.
HeadProfile run_alone(const profiler::MeasuredModel& model, const std::vector<Probe>& probes) {
  ProfileOptions options;
  options.batch_questions = false;
  options.reuse_prefixes = false;
  options.use_draft = false;
  return run_on(model, probes, options);
}

}  // namespace

TEST_CASE("shared probes give what the same prompts give alone", "[profiler]") {
  INFO("seed " << kSeed);
  for (const int64_t group : {1, 3}) {
    profiler::PlantedModelOptions shape;
    shape.num_query_heads = 2 * group;
    const PlantedSetup planted(shape);
    const std::vector<Probe> probes = shared_probes(planted);
    REQUIRE(largest_unit(probes) > 4);
    const HeadProfile batched = run(planted, probes);
    CHECK(batched.num_successful() > static_cast<int64_t>(probes.size()) / 2);
    check_same(batched, run_alone(planted.model(), probes), kAbsolute, kRelative);
  }
}

TEST_CASE("SmolLM2's shared probes give what the same prompts give alone", "[profiler][slow]") {
  const char* path = std::getenv("HEADSCOPE_SMOLLM2");
  if (path == nullptr || !std::filesystem::exists(path)) {
    std::cout << "SKIPPED: HEADSCOPE_SMOLLM2 names no model; examples/get_smollm2.sh fetches it"
              << std::endl;
    return;
  }
  const auto source = model::open_model_source(path);
  const auto tokenizer = source->open_tokenizer();
  const model::Decoder decoder(source->config(), source->weights(), at::kFloat, at::kCPU);
  const ModelIdentity identity = model::identity_of(*source);
  const profiler::MeasuredModel smollm2{decoder, *tokenizer, identity};
  std::vector<Probe> probes =
      shared_probes_of(profiler::PromptWriter(*tokenizer, source->chat_template()), {300}, 5);
  probes.back().gold.front() = probes.back().prompt.front();
  REQUIRE(largest_unit(probes) == 5);
  const HeadProfile batched = run_on(smollm2, probes, {});
  CHECK(batched.num_successful() >= 4);
  check_same(batched, run_alone(smollm2, probes), /*absolute=*/1e-7, /*relative=*/1e-5);
}

TEST_CASE("drafts of a batch may be right, wrong, too long or absent", "[profiler]") {
  INFO("seed " << kSeed);
  const PlantedSetup planted;
  std::vector<Probe> probes = shared_probes(planted, {600});
  REQUIRE(largest_unit(probes) > 4);
  probes[0].gold.front() = probes[0].prompt.front();
  probes[1].gold.back() = probes[1].prompt.front();
  probes[2].gold.insert(probes[2].gold.end(), 3, probes[2].prompt.front());
  probes[3].gold.clear();
  check_same(run(planted, probes), run_alone(planted.model(), probes), kAbsolute, kRelative);
}

TEST_CASE("a batch decodes token by token where no draft is used", "[profiler]") {
  const PlantedSetup planted;
  const std::vector<Probe> probes = shared_probes(planted, {600});
  ProfileOptions options;
  options.use_draft = false;
  check_same(run(planted, probes, options), run_alone(planted.model(), probes), kAbsolute,
             kRelative);
}

TEST_CASE("more questions than a pass holds are asked in several", "[profiler]") {
  const PlantedSetup planted;
  std::vector<Probe> probes = shared_probes(planted, {2000});
  // Long answers expected, so that a few of them fill a pass.
  for (Probe& probe : probes) probe.gold.resize(200, probe.prompt.front());
  ProfileOptions options;
  options.max_answer_tokens = 250;
  options.extra_answer_tokens = 0;
  const HeadProfile batched = run(planted, probes, options);
  options.batch_questions = false;
  check_same(batched, run(planted, probes, options), kAbsolute, kRelative);
}

TEST_CASE("a batch of which some trials are known reads the others only", "[profiler]") {
  const PlantedSetup planted;
  const std::vector<Probe> probes = shared_probes(planted, {600});
  const std::vector<Probe> some(probes.begin(), probes.begin() + 3);
  profiler::SilentProgress silent;
  profiler::TrialLog log(planted.folder / "p.h5");
  static_cast<void>(profiler::profile_heads(planted.model(), some, {}, {}, silent, &log));
  const profiler::ProfileOutcome all =
      profiler::profile_heads(planted.model(), probes, {}, {}, silent, &log);
  CHECK(all.num_resumed == 3);
  CHECK(profiler::read_journal(log.path())->trials.size() == probes.size());
  check_same(all.profile, run(planted, probes), kAbsolute, kRelative);
}

TEST_CASE("the mode is told in the profile and parts the trials", "[profiler]") {
  const PlantedSetup planted;
  const std::vector<Probe> probes = shared_probes(planted, {400});
  ProfileOptions options;
  CHECK(run(planted, probes, options).provenance.options.at("mode") == "exact");
  const auto exact =
      profiler::trial_address(profiler::trial_run(planted.model(), options), probes.front());
  options.mode = profiler::ProfileMode::kShared;
  CHECK(run(planted, probes, options).provenance.options.at("mode") == "shared");
  CHECK(exact !=
        profiler::trial_address(profiler::trial_run(planted.model(), options), probes.front()));
}

TEST_CASE("questions are not batched where the pass's end turns the rotary frequencies",
          "[profiler]") {
  model::ModelConfig config;
  CHECK(profiler::can_batch_questions(config));
  config.rope.scaling = model::RopeScaling::kDynamic;
  CHECK_FALSE(profiler::can_batch_questions(config));
}

}  // namespace headscope::testing
