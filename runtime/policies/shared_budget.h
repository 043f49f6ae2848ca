// What policies share whose KV heads, or layers, compete for one budget: the window that all of
// them keep, and whole tokens from real shares.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/eviction_policy.h"

namespace headscope::runtime {

// A budget to compete for.
struct SharedBudget {
  int64_t total = 0;   // tokens of one sequence, each head's budget clamped to the keys there are
  int64_t rows = 0;    // prompt rows that judge: as judging_rows() of the mean budget, at least 1
  int64_t recent = 0;  // last tokens that every head keeps
};

// Of the given layers together. `rows` is selection.observation_window, at most half of the mean
// budget and no more than any of the layers has keys.
[[nodiscard]] SharedBudget share_budget(std::span<const LayerEvidence> layers);

// Whole numbers that sum to `total`, from real ones that do: rounded down, then one more each in
// the order of the fractions, the first of equal ones first.
[[nodiscard]] std::vector<int64_t> to_whole_tokens(const std::vector<double>& shares,
                                                   int64_t total);

}  // namespace headscope::runtime
