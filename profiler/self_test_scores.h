// Every score of the registry at every query-group size, on models whose retrieval head is known.
#pragma once

#include <memory>
#include <vector>

#include "profiler/self_test_models.h"

namespace headscope::profiler {

// One check per group size that the probes are answered, then one per score and group size. A score
// that this file does not know what to expect of is a check that fails.
[[nodiscard]] std::vector<SelfTestCheck> score_checks(const std::shared_ptr<PlantedModels>& models);

}  // namespace headscope::profiler
