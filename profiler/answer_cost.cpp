#include "profiler/answer_cost.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <span>

#include "model/rotary.h"
#include "profiler/greedy_answer.h"
#include "profiler/peak_memory.h"
#include "runtime/compressor.h"

namespace headscope::profiler {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point started) {
  return std::chrono::duration<double>(Clock::now() - started).count();
}

}  // namespace

AnswerCost measure_cost(const MeasuredModel& model,
                        const TaskSample& sample,
                        const BudgetPlan& plan,
                        const CostOptions& options) {
  const std::span<const int64_t> prompt(sample.prompt);
  const auto compressed = static_cast<size_t>(options.compressed_tokens);
  const auto cache = runtime::make_cache(plan);
  AnswerCost cost;
  int64_t token = 0;
  {
    // Reading the prompt stands alone: its peak is not that of the tokens decoded after it.
    const PeakMemory peak;
    const Clock::time_point started = Clock::now();
    at::Tensor logits = model.decoder.prefill(prompt.first(compressed), *cache,
                                              {.chunk_tokens = options.chunk_tokens});
    if (compressed < prompt.size()) {
      logits = read_further(model, prompt.subspan(compressed), *cache, options.chunk_tokens);
    }
    token = greedy_choice(logits);  // waits for the device
    cost.first_token_seconds = seconds_since(started);
    cost.prefill_peak_bytes = static_cast<double>(peak.bytes());
  }
  const int64_t room =
      model::position_limit(model.decoder.config()) - static_cast<int64_t>(prompt.size());
  const int64_t steps = std::min(options.decode_tokens, room);
  const Clock::time_point started = Clock::now();
  for (int64_t i = 0; i < steps; ++i) {
    token = greedy_choice(model.decoder.forward(at::full({1, 1}, token, at::kLong), *cache));
  }
  if (steps > 0) {
    cost.decode_tokens_per_second = static_cast<double>(steps) / seconds_since(started);
  }
  return cost;
}

}  // namespace headscope::profiler
