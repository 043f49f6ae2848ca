// The merge loop that both kinds of byte-pair encoding share: the best adjacent
// pair first, the leftmost of equals, until no pair merges (Sennrich et al.
// 2016, "Neural Machine Translation of Rare Words with Subword Units"). A heap
// keeps it O(n log n) in the length of a piece.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <queue>
#include <vector>

#include "model/aligned_text.h"

namespace headscope::model {

// A symbol of the piece; id -1: text that no token has.
struct MergeSymbol {
  int64_t id = -1;
  TextRange range;
  ptrdiff_t previous = -1;  // index of the neighbour, -1 at the ends
  ptrdiff_t next = -1;
  bool merged_away = false;
};

template <class Priority>
struct PairMerge {
  Priority priority{};  // the smaller the earlier
  int64_t id = 0;       // of the token that the pair becomes
};

// find_merge(left, right) gives the PairMerge of two symbols, or nothing.
// Symbols come in with id and range set, adjacent from left to right; those
// that were merged into their left neighbour leave marked merged_away.
template <class Priority, class FindMerge>
void merge_symbols(std::vector<MergeSymbol>& symbols, FindMerge find_merge) {
  struct Candidate {
    Priority priority;
    ptrdiff_t left;
    size_t end;  // of the right symbol: a pair that has grown since is another
                 // candidate
    int64_t id;
    bool operator<(const Candidate& other) const {  // priority_queue takes the largest
      return priority != other.priority ? priority > other.priority : left > other.left;
    }
  };
  std::priority_queue<Candidate> queue;
  const auto at = [&](ptrdiff_t index) -> MergeSymbol& {
    return symbols[static_cast<size_t>(index)];
  };
  const auto consider = [&](ptrdiff_t left) {
    if (left < 0 || at(left).next < 0) return;
    const MergeSymbol& right = at(at(left).next);
    if (const std::optional<PairMerge<Priority>> merge = find_merge(at(left), right)) {
      queue.push({merge->priority, left, right.range.end, merge->id});
    }
  };
  const auto count = static_cast<ptrdiff_t>(symbols.size());
  for (ptrdiff_t i = 0; i < count; ++i) {
    at(i).previous = i - 1;
    at(i).next = i + 1 < count ? i + 1 : -1;
  }
  for (ptrdiff_t i = 0; i + 1 < count; ++i) consider(i);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    MergeSymbol& left = at(best.left);
    if (left.merged_away || left.next < 0 || at(left.next).range.end != best.end) continue;
    MergeSymbol& right = at(left.next);
    left.id = best.id;
    left.range.end = right.range.end;
    left.next = right.next;
    right.merged_away = true;
    if (left.next >= 0) at(left.next).previous = best.left;
    consider(left.previous);
    consider(best.left);
  }
}

}  // namespace headscope::model
