// The known weights on the balance: planted models (profiler/planted_model.h) of every query-group
// size, each profiled once however many checks look at it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "model/model.h"
#include "profiler/planted_model.h"
#include "profiler/self_test.h"
#include "profiler/temporary_folder.h"

namespace headscope::profiler {

// 1, 2, 4, 5, 7, 8: those of published models.
[[nodiscard]] std::vector<int64_t> self_test_group_sizes();

struct PlantedModel {
  PlantedModelOptions options;
  std::unique_ptr<model::ModelSource> source;
  std::unique_ptr<model::Tokenizer> tokenizer;
  std::unique_ptr<model::Decoder> decoder;  // float32
  ModelIdentity identity;
  std::vector<Probe> probes;  // needles, and repeated random tokens where a score reads those
  HeadProfile profile;

  [[nodiscard]] MeasuredModel measured() const { return {*decoder, *tokenizer, identity}; }
};

class PlantedModels {
 public:
  // InputError where there is no place for temporary files.
  PlantedModels(at::Device device, const SelfTestParts& parts);

  // Two models: the retrieval head is the first head of layer 1 and the last head of the last.
  [[nodiscard]] const std::vector<PlantedModel>& of_group(int64_t group_size);

 private:
  [[nodiscard]] PlantedModel make(const PlantedModelOptions& options) const;

  at::Device device_;
  SelfTestParts parts_;
  TemporaryFolder folder_;
  std::map<int64_t, std::vector<PlantedModel>> models_;  // by group size
};

}  // namespace headscope::profiler
