// A shuffle that a seed decides alone: std::shuffle and the standard distributions draw differently
// in different libraries.
#pragma once

#include <cstddef>
#include <random>
#include <utility>
#include <vector>

namespace headscope::analysis {

// Fisher-Yates, from the last item down, one raw draw per item but the first.
template <typename T>
void seeded_shuffle(std::vector<T>& items, std::mt19937_64& random) {
  for (size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[random() % i]);
}

}  // namespace headscope::analysis
