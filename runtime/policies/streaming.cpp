// StreamingLLM (arXiv 2309.17453), prefill form: the first num_sink_tokens tokens (4) and the most
// recent budget - sinks. No query is looked at. With a budget below twice the sinks, sinks take at
// most half of it.
//
// Where it differs from others: the paper re-numbers the positions of what is left and evicts at
// every decode step; here, as in the usual comparisons, keys keep the positions they had and
// eviction happens once, after the prompt. CompressKV's comparison code keeps the first budget - 8
// tokens and the last 8 instead, which is another method.
#include <ATen/ATen.h>

#include <algorithm>
#include <map>

#include "runtime/policies/policies.h"
#include "runtime/policies/window_rule.h"

namespace headscope::runtime {

namespace {

RetainedPositions retain_streaming(const LayerEvidence& evidence) {
  const int64_t num_keys = evidence.k.size(2);
  const at::TensorOptions options = evidence.k.options().dtype(at::kLong);
  std::map<int64_t, at::Tensor> of_budget;
  RetainedPositions retained;
  for (int64_t b = 0; b < evidence.k.size(0); ++b) {
    for (const int64_t asked : evidence.budget_tokens) {
      const int64_t budget = std::min(asked, num_keys);
      at::Tensor& positions = of_budget[budget];
      if (!positions.defined()) {
        const int64_t sinks = std::min(evidence.selection.num_sink_tokens, budget / 2);
        positions = at::cat({at::arange(sinks, options),
                             at::arange(num_keys - (budget - sinks), num_keys, options)});
      }
      retained.push_back(positions);
    }
  }
  return retained;
}

}  // namespace

SelectionOptions by_position(int64_t num_sink_tokens) {
  SelectionOptions options;
  options.observation_window = 0;
  options.pooling = Pooling::kNone;
  options.pooling_kernel = 1;
  options.num_sink_tokens = num_sink_tokens;
  return options;
}

EvictionPolicy streaming_policy() {
  return {.name = "streaming",
          .summary = "the first 4 tokens and the most recent ones (StreamingLLM)",
          .defaults = by_position(/*num_sink_tokens=*/4),
          .published = by_position(/*num_sink_tokens=*/4),
          .retain = retain_streaming};
}

}  // namespace headscope::runtime
