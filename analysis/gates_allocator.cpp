#include "analysis/gates_allocator.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "analysis/full_heads.h"
#include "analysis/head_ranking.h"
#include "outputs/input_error.h"

namespace headscope::analysis {
namespace {

HeadMatrix clipped(HeadMatrix gates) {
  for (double& gate : gates.values) gate = std::clamp(gate, 0.0, 1.0);
  return gates;
}

}  // namespace

int64_t GatesAllocator::own_floor(const AllocatorInput& input) const {
  return std::max<int64_t>(1,
                           input.selection.num_sink_tokens + input.gates_options.num_recent_tokens);
}

void GatesAllocator::check(const AllocatorInput& input) const {
  check_context_given(input, name());
  const HeadMatrix& gates = input.gates;
  if (gates.values.empty()) {
    throw InputError("gates", "a gate per KV head", "none", "Give them with --gates FILE.");
  }
  if (gates.num_layers != input.shape.num_layers || gates.num_heads != input.shape.num_kv_heads) {
    throw InputError("gates",
                     std::to_string(input.shape.num_layers) + " layers of " +
                         std::to_string(input.shape.num_kv_heads) + " KV heads",
                     std::to_string(gates.num_layers) + " of " + std::to_string(gates.num_heads),
                     "They were made for another model.");
  }
  for (const double gate : gates.values) {
    if (!std::isfinite(gate)) throw InputError("gates", "finite numbers", std::to_string(gate));
  }
  const std::optional<double>& threshold = input.gates_options.threshold;
  if (threshold && !(*threshold >= 0.0 && *threshold <= 1.0)) {
    throw InputError("--gate-threshold", "0 to 1", std::to_string(*threshold));
  }
  if (input.gates_options.num_recent_tokens < 1) {
    throw InputError("--recent-tokens", "at least 1 token",
                     std::to_string(input.gates_options.num_recent_tokens));
  }
}

std::vector<int64_t> GatesAllocator::share_out(const ShareProblem& problem) const {
  const HeadMatrix gates = clipped(problem.input.gates);
  const std::optional<double>& threshold = problem.input.gates_options.threshold;
  const int64_t price = problem.ceiling - problem.floor;
  int64_t left = problem.total - problem.floor * static_cast<int64_t>(problem.num_heads());
  std::vector<bool> full(problem.num_heads(), false);
  for (const RankedHead& ranked : rank_heads(gates)) {
    const bool is_full = threshold ? ranked.score > *threshold : left >= price;
    if (!is_full) break;
    left -= price;
    full[static_cast<size_t>(ranked.head.layer * gates.num_heads + ranked.head.head)] = true;
  }
  return share_with_full_heads(problem, full, gates.values);
}

void GatesAllocator::add_notes(const AllocatorInput& input, Allocation& allocation) const {
  allocation.lint.notes.push_back(describe_full_heads(input, allocation));
}

}  // namespace headscope::analysis
