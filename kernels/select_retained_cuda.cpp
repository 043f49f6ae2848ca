// Plans of the selection kernel: how many blocks share a row, and the scratch they share.
#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>

#include <algorithm>
#include <numeric>

#include "kernels/cuda_ops.h"

namespace headscope::kernels {
namespace {

// Blocks of one row wait for each other, so that all blocks have to be resident: one on each
// multiprocessor always is.
int blocks_for_row(const KernelLauncher& launcher, int64_t rows, int64_t n) {
  const int64_t most = std::min<int64_t>(launcher.num_multiprocessors() / rows, kSelectThreads);
  return static_cast<int>(
      std::clamp<int64_t>((n + kCachedKeys - 1) / kCachedKeys, 1, std::max<int64_t>(1, most)));
}

void select_rows(const KernelLauncher& launcher,
                 const at::Tensor& scores,  // [at most kMaxSelectRows, n]
                 std::span<const int64_t> count,
                 const at::Tensor& positions) {
  SelectTask task{};
  task.scores = scores.const_data_ptr<float>();
  task.row_stride = scores.stride(0);
  task.n = scores.size(1);
  task.rows = static_cast<int>(scores.size(0));
  task.blocks_per_row = blocks_for_row(launcher, task.rows, task.n);
  task.positions = positions.data_ptr<int64_t>();
  int64_t first = 0;
  for (size_t r = 0; r < count.size(); ++r) {
    task.count[r] = static_cast<uint32_t>(count[r]);
    task.first[r] = static_cast<uint32_t>(first);
    first += count[r];
  }
  at::Tensor zeroed, taken;
  if (task.blocks_per_row > 1) {
    const auto options = scores.options().dtype(at::kInt);
    const int64_t histograms = int64_t{task.rows} * kSelectPasses * kSelectBins;
    zeroed = at::zeros({histograms + task.rows}, options);
    taken = at::empty({int64_t{task.rows} * task.blocks_per_row * 2}, options);
    task.histogram = static_cast<uint32_t*>(zeroed.data_ptr());
    task.arrived = task.histogram + histograms;
    task.taken = static_cast<uint32_t*>(taken.data_ptr());
  }
  launcher.launch(task);
}

}  // namespace

std::optional<at::Tensor> selected_positions_cuda(const KernelLauncher& launcher,
                                                  const at::Tensor& scores,
                                                  std::span<const int64_t> count) {
  const int64_t n = scores.size(1);
  std::vector<int64_t> wanted;
  for (const int64_t c : count) wanted.push_back(std::clamp<int64_t>(c, 0, n));
  const int64_t total = std::accumulate(wanted.begin(), wanted.end(), int64_t{0});
  // 32-bit places in a row, and in one launch's positions.
  if (n > INT32_MAX || total > INT32_MAX) return std::nullopt;
  const c10::DeviceGuard guard(scores.device());
  const at::Tensor rows = scores.stride(1) == 1 || n <= 1 ? scores : scores.contiguous();
  at::Tensor positions = at::empty({total}, scores.options().dtype(at::kLong));
  int64_t begin = 0;
  for (size_t r = 0; r < wanted.size(); r += kMaxSelectRows) {
    const size_t end = std::min(wanted.size(), r + kMaxSelectRows);
    const std::span<const int64_t> batch(wanted.data() + r, end - r);
    const int64_t here = std::accumulate(batch.begin(), batch.end(), int64_t{0});
    if (here > 0) {
      select_rows(launcher, rows.slice(0, static_cast<int64_t>(r), static_cast<int64_t>(end)),
                  batch, positions.slice(0, begin, begin + here));
    }
    begin += here;
  }
  return positions;
}

std::optional<std::vector<at::Tensor>> select_retained_cuda(const KernelLauncher& launcher,
                                                            const at::Tensor& scores,
                                                            std::span<const int64_t> count) {
  const std::optional<at::Tensor> all = selected_positions_cuda(launcher, scores, count);
  if (!all) return std::nullopt;
  std::vector<at::Tensor> kept;
  int64_t begin = 0;
  for (const int64_t c : count) {
    const int64_t end = begin + std::clamp<int64_t>(c, 0, scores.size(1));
    kept.push_back(all->slice(0, begin, end));
    begin = end;
  }
  return kept;
}

}  // namespace headscope::kernels
