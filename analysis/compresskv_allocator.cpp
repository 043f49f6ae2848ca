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
                                                int64_t total,
                                                int64_t floor,
                                                int64_t ceiling) {
  const double error_sum = std::accumulate(layer_error.begin(), layer_error.end(), 0.0);
  const auto num_layers = static_cast<int64_t>(layer_error.size());
  if (!(error_sum > 0.0) || floor < 1 || floor * num_layers > total ||
      ceiling * num_layers < total) {
    throw std::invalid_argument("error_proportional_budgets: no room or no errors");
  }
  const auto to_share = static_cast<double>(total - floor * num_layers);
  std::vector<int64_t> budgets;
  int64_t residual = total;
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
  // One token per layer and sweep. It ends: the bounds leave room for all of it.
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

void CompressKvAllocator::check(const AllocatorInput& input) const {
  check_errors(input.layer_error, input.shape.num_layers);
}

std::vector<int64_t> CompressKvAllocator::share_out(const ShareProblem& problem) const {
  const std::vector<double>& errors = problem.input.layer_error;
  const int64_t heads = problem.num_kv_heads();
  const std::vector<int64_t> layers =
      error_proportional_budgets(errors, problem.total / heads, problem.floor, problem.ceiling);
  std::vector<int64_t> budgets;
  for (const int64_t layer : layers) {
    budgets.insert(budgets.end(), static_cast<size_t>(heads), layer);
  }
  int64_t left = problem.total % heads;
  for (const size_t layer : layers_by_error(errors)) {
    const int64_t room = layers[layer] < problem.ceiling ? heads : 0;
    const int64_t taken = std::min(left, room);
    for (int64_t head = 0; head < taken; ++head) {
      budgets[layer * static_cast<size_t>(heads) + static_cast<size_t>(head)] += 1;
    }
    left -= taken;
  }
  return budgets;
}

}  // namespace headscope::analysis
