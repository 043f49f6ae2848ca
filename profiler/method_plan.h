// From a method's name, a budget and (where the method needs one) a profile to the plan that the
// runtime applies: what `plan` writes, and what `generate --method` and `evaluate` use.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "analysis/allocator.h"
#include "analysis/layer_error.h"
#include "outputs/budget_plan.h"
#include "outputs/head_profile.h"

namespace headscope::profiler {

// The heads of every layer that choose its keys, and what is to be said of them.
struct Selectors {
  std::vector<std::vector<int64_t>> heads;  // [num_layers][>= 1]
  std::vector<std::string> notes;
};

struct MethodOptions {
  std::string score = "srh";   // which score picks the selector heads
  int64_t selector_heads = 4;  // per layer, 1..num_query_heads
  // Instead of a fixed number: the heads whose score's lower confidence bound exceeds this
  // (analysis/selector_heads.h).
  std::optional<double> selector_threshold;
  // Layers in which no head is known to retrieve (analysis/retrieval_verdict.h) choose by all of
  // their heads; all layers, where the model does not retrieve. Where the profile cannot tell, and
  // with false, as published: the best selector_heads of every layer, whatever they are worth.
  bool fallback = true;
  std::optional<Selectors> selectors;  // chosen before (pick_selectors); then nothing above is read
  std::string head_score;              // which score shares budgets out (headkv); empty = `score`
  std::string curves;                  // which error curves; empty = the only ones there are
  analysis::ErrorSteps error_steps = analysis::ErrorSteps::kSummed;
  int64_t error_budget = 32;  // tokens at which layer errors are read (compresskv)
  HeadMatrix gates;           // [num_layers, num_kv_heads] (gates)

  // The runtime method that applies the plan; empty = the one that the allocator belongs to
  // (pyramid: pyramidkv), compresskv for uniform and curve.
  std::string eviction;
  SelectionOptions selection;          // of window methods; others bring their own defaults
  std::optional<int64_t> sink_tokens;  // instead of the method's own
  // Window, pooling and sinks of the method's own paper or program, instead of `selection`.
  bool published_settings = false;

  int64_t extra_tokens = 0;            // beyond the mean budget, 0 .. KV heads - 1 in all
  int64_t context_length = 0;          // no budget exceeds it; 0 = not given
  std::vector<int64_t> lint_contexts;  // further lengths, for the lint
  std::optional<int64_t> min_tokens;   // per KV head; default: the allocator's own floor
  std::optional<int64_t> max_tokens;   // per KV head; default: the allocator's own ceiling
  int64_t page_tokens = 1;
  int64_t num_ranks = 1;
  int64_t bytes_per_element = 0;  // of the cache, for the lint; 0 = not known

  analysis::HeadKvOptions headkv;
  analysis::RazorOptions razor;
  analysis::GatesOptions gates_options;
  analysis::CurveObjective objective = analysis::CurveObjective::kSquared;
};

// A plan with budgets by `allocator` (analysis/allocator.h) and, where the runtime method asks for
// them, the profile's best heads of each layer as selectors. InputError, naming what is missing: no
// such score, no successful probe, no error curves, no gates.
[[nodiscard]] BudgetPlan plan_from_profile(const HeadProfile& profile,
                                           const std::string& allocator,
                                           int64_t budget_tokens,
                                           const MethodOptions& options = {});

// The plan of a runtime method at a mean of `budget_tokens` per KV head, shared out by the method's
// own allocator (EvictionPolicy::allocator). `profile` may be null where the method needs none.
// InputError for an unknown method, a missing profile or a profile without what the method needs,
// naming it, and for `gates` without gates: it needs a plan.
[[nodiscard]] BudgetPlan plan_for_method(const std::string& method,
                                         int64_t budget_tokens,
                                         const ModelIdentity& model,
                                         const HeadProfile* profile,
                                         const MethodOptions& options = {});

}  // namespace headscope::profiler
