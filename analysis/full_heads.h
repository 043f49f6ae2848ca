// Two kinds of heads: some keep everything, the others a short recent window. What razor and gates
// share.
#pragma once

#include <cstdint>
#include <vector>

#include "analysis/allocator.h"

namespace headscope::analysis {

// Full heads get the ceiling, the others what is left, evenly. Where that is less than the floor
// for them, they get the floor and the full heads an equal part of the rest. `full` and `worth`
// have one entry per KV head of the problem; a token that does not divide goes to the head of the
// highest worth.
[[nodiscard]] std::vector<int64_t> share_with_full_heads(const ShareProblem& problem,
                                                         const std::vector<bool>& full,
                                                         const std::vector<double>& worth);

// InputError unless a context length was given: "everything" is a number of tokens.
void check_context_given(const AllocatorInput& input, const std::string& method);

// How many heads keep the whole context, and what the others keep.
[[nodiscard]] std::string describe_full_heads(const AllocatorInput& input,
                                              const Allocation& allocation);

}  // namespace headscope::analysis
