// Which settings suit a model and a budget: selector heads, pooling, window and the way budgets are
// shared out, tried on calibration probes at equal bytes.
//
// Knob by knob, each from the best of the one before: every selector with every pooling kernel
// (they act together: the window sees which token comes next, pooling carries the rest of an
// answer), then the windows, then the allocators. A sample's prompt is read once per stage and
// compressed for every trial of it. The best is the trial of the highest mean score; of equals the
// one tried first, so that list order says what is preferred.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "analysis/budget_request.h"
#include "outputs/budget_plan.h"
#include "outputs/head_profile.h"
#include "profiler/measured_model.h"
#include "profiler/progress.h"
#include "profiler/task.h"
#include "profiler/trial_store.h"

namespace headscope::profiler {

struct TuneOptions {
  // "all" (every query head judges for its own KV head, as SnapKV) or "SCORE:K": the K best heads
  // of each layer by that score of the profile judge for the layer, as CompressKV.
  std::vector<std::string> selectors = {"srh:4", "srh:1", "all"};
  std::vector<int64_t> pooling_kernels = {5, 1, 13, 21};  // tokens, odd
  std::vector<int64_t> windows = {8, 16, 32};             // queries, >= 1; the first one first
  std::vector<std::string> allocators = {"uniform"};      // analysis/allocator.h
  Pooling pooling = Pooling::kAverage;
  int64_t bootstrap_draws = 2000;  // 100..1000000
  uint64_t seed = 0;               // of the bootstrap
  int64_t chunk_tokens = 256;      // 16..65536: prompt tokens per pass
  double save_every_seconds = 30.0;

  void validate() const;  // InputError
  [[nodiscard]] int64_t num_trials() const;
};

struct TuneTrial {
  std::string selector;
  int64_t pooling_kernel = 5;
  int64_t window = 8;
  std::string allocator;
  int64_t kv_bytes = 0;   // mean bytes held after the prompt
  double accuracy = 0.0;  // mean score, 0..1
  double ci_low = 0.0;    // 95 % bootstrap interval over samples
  double ci_high = 0.0;
  // "srh:4, pooling 5, window 8, uniform"
  [[nodiscard]] std::string label() const;
};

struct TuneOutcome {
  TuneTrial full;  // the full cache on the same samples; its settings mean nothing
  std::vector<TuneTrial> trials;
  size_t best = 0;  // index into trials
  BudgetPlan plan;  // of the best, trials told in its provenance
  bool complete = false;
  int64_t num_resumed = 0;  // answers taken from the store
};

// `context_length`: what the plan is for and the samples' length. InputError: options that the
// profile cannot serve, no samples, prompts beyond the model's positions, another run's store.
[[nodiscard]] TuneOutcome tune(const MeasuredModel& model,
                               const HeadProfile& profile,
                               const std::vector<TaskSample>& samples,
                               const analysis::TokenBudget& budget,
                               int64_t context_length,
                               const TuneOptions& options,
                               const Provenance& provenance,
                               ProgressSink& progress,
                               TrialStore* store = nullptr);

// The plan of one trial, as `plan` would make it.
[[nodiscard]] BudgetPlan plan_of_trial(const HeadProfile& profile,
                                       const TuneTrial& trial,
                                       Pooling pooling,
                                       const analysis::TokenBudget& budget,
                                       int64_t context_length);

}  // namespace headscope::profiler
