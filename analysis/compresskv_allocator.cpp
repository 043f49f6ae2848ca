#include "analysis/compresskv_allocator.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

#include "analysis/allocation_bounds.h"
#include "outputs/input_error.h"

namespace headscope::analysis {
namespace {

void check_errors(const std::vector<double>& errors, int64_t num_layers) {
  const std::string where = "layer errors";
  if (errors.empty()) {
    throw InputError(where, "one error per layer", "none",
                     "Run `headscope calibrate` on the profile first, or plan with uniform.");
  }
  if (static_cast<int64_t>(errors.size()) != num_layers) {
    throw InputError(where, std::to_string(num_layers) + " numbers, one per layer",
                     std::to_string(errors.size()));
  }
  for (size_t layer = 0; layer < errors.size(); ++layer) {
    if (!std::isfinite(errors[layer]) || errors[layer] < 0.0) {
      throw InputError(where + ", layer " + std::to_string(layer), "a finite number of at least 0",
                       std::to_string(errors[layer]), "Calibrate again.");
    }
  }
  if (std::accumulate(errors.begin(), errors.end(), 0.0) <= 0.0) {
    throw InputError(where, "an error above 0 in at least one layer", "zero in all of them",
                     "Calibrate with prompts longer than the budget, or plan with uniform.");
  }
}

// Layers from the largest error down; equal errors by layer.
std::vector<size_t> layers_by_error(const std::vector<double>& errors) {
  std::vector<size_t> order(errors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return errors[a] > errors[b]; });
  return order;
}

}  // namespace

std::vector<int64_t> error_proportional_budgets(const std::vector<double>& layer_error,
                                                int64_t budget_tokens,
                                                int64_t floor,
                                                int64_t ceiling) {
  const double error_sum = std::accumulate(layer_error.begin(), layer_error.end(), 0.0);
  if (!(error_sum > 0.0) || floor < 1 || floor > budget_tokens || ceiling < budget_tokens) {
    throw std::invalid_argument("error_proportional_budgets: no room or no errors");
  }
  const auto num_layers = static_cast<int64_t>(layer_error.size());
  const auto to_share = static_cast<double>((budget_tokens - floor) * num_layers);
  std::vector<int64_t> budgets;
  int64_t residual = budget_tokens * num_layers;
  for (const double error : layer_error) {
    // nearbyint rounds half to even in the default rounding mode, as numpy's round.
    const double share = std::nearbyint(error / error_sum * to_share);
    budgets.push_back(std::clamp(floor + static_cast<int64_t>(share), floor, ceiling));
    residual -= budgets.back();
  }

  std::vector<size_t> order = layers_by_error(layer_error);
  if (residual < 0) {
    std::reverse(order.begin(), order.end());
  }
  const int64_t step = residual > 0 ? 1 : -1;
  const int64_t bound = residual > 0 ? ceiling : floor;
  // One token per layer and sweep. It ends: floor <= B <= ceiling leaves room for all of it.
  while (residual != 0) {
    for (const size_t layer : order) {
      if (residual != 0 && budgets[layer] != bound) {
        budgets[layer] += step;
        residual -= step;
      }
    }
  }
  return budgets;
}

Allocation CompressKvAllocator::allocate(const AllocatorInput& input) const {
  const AllocationBounds bounds =
      resolve_bounds(input, kFloorTokens, kCeilingFactor * input.budget_tokens);
  check_errors(input.layer_error, input.shape.num_layers);
  const std::vector<int64_t> layers = error_proportional_budgets(
      input.layer_error, input.budget_tokens, bounds.floor, bounds.ceiling);
  return finish_allocation(input, bounds, layers, kFloorTokens);
}

}  // namespace headscope::analysis
