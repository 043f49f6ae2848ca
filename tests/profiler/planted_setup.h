// A planted model on disk, opened as a user's model would be, and probes for it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/model.h"
#include "profiler/haystack.h"
#include "profiler/measured_model.h"
#include "profiler/needle.h"
#include "profiler/planted_model.h"
#include "profiler/probe_grid.h"
#include "profiler/progress.h"
#include "profiler/prompt_format.h"
#include "tests/support/scratch_folder.h"

namespace headscope::testing {

struct PlantedSetup {
  ScratchFolder folder;
  std::unique_ptr<model::ModelSource> source;
  std::unique_ptr<model::Tokenizer> tokenizer;
  std::unique_ptr<model::Decoder> decoder;
  ModelIdentity identity;

  explicit PlantedSetup(const profiler::PlantedModelOptions& options = {}) {
    profiler::write_planted_model(options, folder.path().string());
    source = model::open_model_source(folder.path().string());
    tokenizer = source->open_tokenizer();
    decoder =
        std::make_unique<model::Decoder>(source->config(), source->weights(), at::kFloat, at::kCPU);
    identity = model::identity_of(*source);
  }

  [[nodiscard]] profiler::MeasuredModel model() const { return {*decoder, *tokenizer, identity}; }
  [[nodiscard]] profiler::PromptWriter writer() const {
    return {*tokenizer, source->chat_template()};
  }

  // Built-in needles of both families in built-in prose.
  [[nodiscard]] std::vector<profiler::Probe> probes(std::vector<int64_t> context_lengths = {256},
                                                    std::vector<double> depths = {0.2, 0.6, 1.0},
                                                    int64_t per_cell = 2,
                                                    uint64_t seed = 1) const {
    profiler::ProbeGridOptions grid;
    grid.context_lengths = std::move(context_lengths);
    grid.depths = std::move(depths);
    grid.needles_per_cell = per_cell;
    grid.seed = seed;
    profiler::Haystack haystack = profiler::Haystack::prose(seed);
    return profiler::build_probe_grid(grid, profiler::built_in_needles(20, seed), haystack,
                                      writer());
  }
};

// Says "stop" from the n-th item on.
class StopAfter final : public profiler::ProgressSink {
 public:
  explicit StopAfter(int64_t items) : items_(items) {}
  void begin(const std::string&, int64_t) override {}
  void advance(int64_t done) override { done_ = done; }
  void message(const std::string&) override {}
  [[nodiscard]] bool interrupted() const override { return done_ >= items_; }

 private:
  int64_t items_;
  int64_t done_ = 0;
};

}  // namespace headscope::testing
