// What every configuration must satisfy, whatever file it came from, and whether a checkpoint's
// tensors are the ones that its configuration calls for.
#pragma once

#include <string>
#include <vector>

#include "model/config.h"
#include "model/weights.h"

namespace headscope::model {

// InputError naming the field: sizes outside their range, query heads that are no multiple of KV
// heads, an odd head_dim, non-finite or non-positive constants, a window list of another length.
void check_config(const ModelConfig& config, const std::string& where);

struct ExpectedTensor {
  std::string name;
  std::vector<int64_t> dims;
};

// The tensors that the decoder reads, sorted by name. A tied lm_head is not among them.
[[nodiscard]] std::vector<ExpectedTensor> expected_tensors(const ModelConfig& config);

// Compares headers only. InputError names the tensor, what was expected and what was found: a
// missing tensor, other dims, a dtype that cannot be read, a tensor that the configuration does not
// call for (rotary buffers and a tied lm_head are ignored).
void check_weights(const ModelConfig& config, const WeightSource& source, const std::string& where);

}  // namespace headscope::model
