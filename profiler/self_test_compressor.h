// Every eviction method where it must change nothing: a prompt that fits its budget.
#pragma once

#include <memory>
#include <vector>

#include "profiler/self_test_models.h"

namespace headscope::profiler {

// One check per eviction method of the runtime: at retention 1.0 the logits of a prompt and of the
// tokens after it equal the full cache's, bit for bit. The value is how many logits differ.
[[nodiscard]] std::vector<SelfTestCheck> compressor_checks(
    const std::shared_ptr<PlantedModels>& models, const SelfTestParts& parts);

}  // namespace headscope::profiler
