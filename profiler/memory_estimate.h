// What a run will need, before it starts: the numbers behind --dry-run.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "model/config.h"

namespace headscope::profiler {

// The size of a run, in tokens.
struct RunSize {
  int64_t longest_context = 0;    // longest prompt plus its answer
  int64_t prompt_tokens = 0;      // prefilled in all
  int64_t decode_tokens = 0;      // decoded one by one in all
  int64_t chunk_tokens = 256;     // per pass
  int64_t logit_rows = 1;         // of a pass, rows whose logits are wanted
  int64_t compressed_tokens = 0;  // per KV head, of all compressed copies beside the full cache
};

struct RunEstimate {
  int64_t weight_bytes = 0;
  int64_t kv_bytes = 0;         // keys and values at the longest context, growth slack included
  int64_t transient_bytes = 0;  // activations of one chunk
  int64_t program_bytes = 0;    // this process as it is (its libraries) and what a run adds, host
  int64_t peak_bytes = 0;       // the sum
  double seconds = 0.0;         // 0 = not known (a device whose speed was not measured)
};

// `flops_per_second` is what measure_flops() says, 0 = do not estimate time.
[[nodiscard]] RunEstimate estimate_run(const model::ModelConfig& config,
                                       at::ScalarType dtype,
                                       const RunSize& size,
                                       double flops_per_second);

// Rate of a product of this model's shape on `device`, about a tenth of a second.
[[nodiscard]] double measure_flops(const model::ModelConfig& config,
                                   at::ScalarType dtype,
                                   at::Device device);

}  // namespace headscope::profiler
