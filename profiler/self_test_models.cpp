#include "profiler/self_test_models.h"

#include <algorithm>
#include <random>
#include <string>
#include <utility>

#include "profiler/needle.h"
#include "profiler/probe_grid.h"
#include "profiler/prompt_format.h"
#include "profiler/scorer_registry.h"

namespace headscope::profiler {
namespace {

constexpr int64_t kNumLayers = 4;
constexpr int64_t kNumKvHeads = 2;
constexpr uint64_t kSeed = 1;
constexpr int64_t kRepeatPeriod = 48;
constexpr int64_t kRepeats = 4;

bool any_score_reads_repeats(const ModelShape& shape) {
  const ScorerSet scorers = make_scorers(scorer_names(), shape);
  return std::any_of(scorers.begin(), scorers.end(), [](const auto& scorer) {
    return scorer->source() == ScoreSource::kRepeatedTokens;
  });
}

// Random ordinary tokens, the same `kRepeatPeriod` of them again and again.
Probe repeated_tokens(const model::ModelConfig& config, int64_t id) {
  std::mt19937_64 random(kSeed);
  const auto first = static_cast<uint64_t>(config.vocab_size / 2);  // words, no special tokens
  std::vector<int64_t> period;
  while (static_cast<int64_t>(period.size()) < kRepeatPeriod) {
    const auto token =
        static_cast<int64_t>(first + random() % (static_cast<uint64_t>(config.vocab_size) - first));
    if (std::find(period.begin(), period.end(), token) == period.end()) period.push_back(token);
  }
  Probe probe;
  probe.id = id;
  probe.family = probe.needle_id = "repeated-tokens";
  probe.prompt_format = "raw";
  probe.repeat_period = kRepeatPeriod;
  for (int64_t repeat = 0; repeat < kRepeats; ++repeat) {
    probe.prompt.insert(probe.prompt.end(), period.begin(), period.end());
  }
  return probe;
}

std::vector<Probe> make_probes(const PlantedModel& planted) {
  const PromptWriter writer(*planted.tokenizer, planted.source->chat_template());
  Haystack haystack = Haystack::prose(kSeed);
  const ProbeGridOptions grid{
      .context_lengths = {256}, .depths = {0.2, 0.5, 0.7}, .needles_per_cell = 2, .seed = kSeed};
  std::vector<Probe> probes = build_probe_grid(grid, built_in_needles(6, kSeed), haystack, writer);
  if (any_score_reads_repeats(planted.identity.shape)) {
    probes.push_back(
        repeated_tokens(planted.decoder->config(), static_cast<int64_t>(probes.size())));
  }
  return probes;
}

}  // namespace

std::vector<int64_t> self_test_group_sizes() {
  return {1, 2, 4, 5, 7, 8};
}

PlantedModels::PlantedModels(at::Device device, const SelfTestParts& parts)
    : device_(device), parts_(parts) {}

const std::vector<PlantedModel>& PlantedModels::of_group(int64_t group_size) {
  const auto known = models_.find(group_size);
  if (known != models_.end()) return known->second;
  PlantedModelOptions options;
  options.num_layers = kNumLayers;
  options.num_kv_heads = kNumKvHeads;
  options.num_query_heads = group_size * kNumKvHeads;
  std::vector<PlantedModel> models;
  for (const HeadId& head : {HeadId{1, 0}, HeadId{kNumLayers - 1, options.num_query_heads - 1}}) {
    options.planted = head;
    models.push_back(make(options));
  }
  return models_.emplace(group_size, std::move(models)).first->second;
}

PlantedModel PlantedModels::make(const PlantedModelOptions& options) const {
  const std::string folder = (folder_.path() / (std::to_string(options.num_query_heads) + "-" +
                                                std::to_string(options.planted.layer)))
                                 .string();
  write_planted_model(options, folder);
  PlantedModel planted;
  planted.options = options;
  planted.source = model::open_model_source(folder);
  planted.tokenizer = planted.source->open_tokenizer();
  planted.decoder = std::make_unique<model::Decoder>(
      planted.source->config(), planted.source->weights(), at::kFloat, device_);
  planted.identity = model::identity_of(*planted.source);
  planted.probes = make_probes(planted);
  planted.profile = parts_.profile(planted.measured(), planted.probes);
  return planted;
}

}  // namespace headscope::profiler
