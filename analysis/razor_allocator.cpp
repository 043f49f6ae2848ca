#include "analysis/razor_allocator.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "analysis/allocation_bounds.h"
#include "analysis/full_heads.h"
#include "analysis/head_ranking.h"
#include "analysis/query_group.h"
#include "analysis/score_check.h"
#include "outputs/input_error.h"

namespace headscope::analysis {
namespace {

// The paper's buffer: at least S0 tokens, else one in C of the context.
constexpr int64_t kLeastBuffer = 4000;
constexpr int64_t kContextShare = 5;

void mark_top(const HeadMatrix& scores,
              const AllocatorInput& input,
              double share,
              std::vector<bool>& marked) {
  const HeadMatrix groups =
      without_gaps(reduce_query_groups(scores, input.shape.num_kv_heads, GroupReduction::kMax));
  const double exact = share * static_cast<double>(groups.values.size());
  const auto count = std::max<int64_t>(1, std::llround(exact));
  const std::vector<RankedHead> ranked = rank_heads(groups);
  for (size_t i = 0; i < ranked.size() && static_cast<int64_t>(i) < count; ++i) {
    const HeadId& head = ranked[i].head;
    marked[static_cast<size_t>(head.layer * groups.num_heads + head.head)] = true;
  }
}

void check_share(const char* where, double share) {
  if (!(share >= 0.0 && share <= 1.0)) {
    throw InputError(where, "a share of the KV heads, 0 to 1", std::to_string(share));
  }
}

}  // namespace

std::vector<bool> razor_retrieval_heads(const AllocatorInput& input) {
  std::vector<bool> marked(static_cast<size_t>(input.shape.num_layers * input.shape.num_kv_heads),
                           false);
  mark_top(input.induction, input, input.razor.induction_share, marked);
  mark_top(input.echo, input, input.razor.echo_share, marked);
  return marked;
}

int64_t RazorAllocator::own_floor(const AllocatorInput& input) const {
  // Below two tokens per sink the runtime gives up sinks.
  return std::max<int64_t>(1, 2 * input.selection.num_sink_tokens);
}

void RazorAllocator::check(const AllocatorInput& input) const {
  check_context_given(input, name());
  const std::string missing = "Measure it with headscope profile --scores induction,echo.";
  check_scores(input.induction, input.shape, input.shape.num_query_heads, "the score induction",
               missing);
  check_scores(input.echo, input.shape, input.shape.num_query_heads, "the score echo", missing);
  check_share("--induction-share", input.razor.induction_share);
  check_share("--echo-share", input.razor.echo_share);
}

std::vector<int64_t> RazorAllocator::share_out(const ShareProblem& problem) const {
  const HeadMatrix induction = without_gaps(
      reduce_query_groups(problem.input.induction, problem.num_kv_heads(), GroupReduction::kMax));
  return share_with_full_heads(problem, razor_retrieval_heads(problem.input), induction.values);
}

void RazorAllocator::add_notes(const AllocatorInput& input, Allocation& allocation) const {
  const std::vector<bool> full = razor_retrieval_heads(input);
  const auto num_full = static_cast<int64_t>(std::count(full.begin(), full.end(), true));
  const int64_t buffer = std::min(input.context_length,
                                  input.selection.num_sink_tokens +
                                      std::max(kLeastBuffer, input.context_length / kContextShare));
  const int64_t published =
      num_full * input.context_length + (static_cast<int64_t>(full.size()) - num_full) * buffer;
  std::vector<std::string>& notes = allocation.lint.notes;
  notes.push_back(describe_full_heads(input, allocation));
  notes.push_back("RazorAttention's own buffer of " + std::to_string(buffer) +
                  " tokens per head would keep " + std::to_string(published) +
                  " tokens, this plan " + std::to_string(allocation.lint.nominal_tokens));
}

}  // namespace headscope::analysis
