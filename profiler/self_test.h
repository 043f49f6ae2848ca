// The instrument calibrates itself on the device it runs on, as a laboratory balance does before
// weighing: every kernel against a second opinion, every score on models whose retrieval head is
// known, every eviction method where it must change nothing. The measures of profiler/, kernels/
// and runtime/ are what is tested; no model of the user's is needed.
//
// A check is a name and one function. The parts under test are handed in (SelfTestParts), so that a
// faulty one can be put in their place to see that the table finds it.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/ops.h"
#include "outputs/budget_plan.h"
#include "outputs/head_profile.h"
#include "profiler/measured_model.h"
#include "profiler/probe.h"
#include "profiler/progress.h"
#include "runtime/full_kv_cache.h"

namespace headscope::profiler {

// The ops of kernels/ops.h, by their names there.
struct KernelDoor {
  decltype(&kernels::causal_attention) causal_attention = &kernels::causal_attention;
  decltype(&kernels::full_attention) full_attention = &kernels::full_attention;
  decltype(&kernels::ragged_attention) ragged_attention = &kernels::ragged_attention;
  decltype(&kernels::window_importance) window_importance = &kernels::window_importance;
  decltype(&kernels::span_attention) span_attention = &kernels::span_attention;
  decltype(&kernels::top_attended) top_attended = &kernels::top_attended;
  decltype(&kernels::attention_received) attention_received = &kernels::attention_received;
  decltype(&kernels::select_retained) select_retained = &kernels::select_retained;
  decltype(&kernels::compact_kv) compact_kv = &kernels::compact_kv;
  decltype(&kernels::compact_layer_kv) compact_layer_kv = &kernels::compact_layer_kv;
  decltype(&kernels::error_curve) error_curve = &kernels::error_curve;
};

struct SelfTestParts {
  KernelDoor kernels;
  // Every score there is, on these probes.
  std::function<HeadProfile(const MeasuredModel&, const std::vector<Probe>&)> profile;
  // A cache that compresses its prompt by the plan.
  std::function<std::unique_ptr<runtime::KvCache>(const BudgetPlan&)> make_cache;
};

// What this build ships.
[[nodiscard]] SelfTestParts own_parts();
// The same with three faults: span_attention looks one key too far, every head's scores stand under
// the next head, the cache evicts one token of a prompt that fits.
[[nodiscard]] SelfTestParts faulty_parts();

struct Measurement {
  double value = 0.0;
  double bound = 0.0;
  bool at_least = false;  // false: value must be at most the bound
  [[nodiscard]] bool ok() const { return at_least ? value >= bound : value <= bound; }
};

struct SelfTestCheck {
  std::string name;
  std::function<Measurement()> measure;
};

// In the order of the table. Planted models are written to a temporary folder that goes with the
// list. InputError where there is no place for it.
[[nodiscard]] std::vector<SelfTestCheck> self_test_checks(at::Device device,
                                                          const SelfTestParts& parts);

struct SelfTestRow {
  std::string check;
  bool ok = false;
  Measurement measured;  // NaN where the check broke off
  std::string problem;   // why it broke off
};

// A check that throws is a row that is not ok; only running out of memory is passed on. Rows are
// fewer than checks where the user asked to stop.
[[nodiscard]] std::vector<SelfTestRow> run_self_test(const std::vector<SelfTestCheck>& checks,
                                                     ProgressSink& progress);

}  // namespace headscope::profiler
