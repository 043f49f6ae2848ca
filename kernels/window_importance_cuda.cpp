// Plans of the window kernel: the asked heads gathered by the KV head they read.
#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>

#include <algorithm>
#include <array>

#include "kernels/cuda_ops.h"
#include "kernels/cuda_plan.h"

namespace headscope::kernels {
namespace {

constexpr double kLog2OfE = 1.4426950408889634;
constexpr int64_t kBlocksPerMultiprocessor = 8;

struct AskedHead {
  int64_t head, slot;
};

// The asked heads, those of one KV head next to each other.
std::vector<AskedHead> asked_heads(std::span<const int64_t> heads, int64_t num_heads) {
  std::vector<AskedHead> asked;
  const int64_t count = heads.empty() ? num_heads : static_cast<int64_t>(heads.size());
  for (int64_t i = 0; i < count; ++i) {
    asked.push_back({heads.empty() ? i : heads[static_cast<size_t>(i)], i});
  }
  std::stable_sort(asked.begin(), asked.end(),
                   [](const AskedHead& a, const AskedHead& b) { return a.head < b.head; });
  return asked;
}

std::vector<int64_t> kv_heads_of(const std::vector<AskedHead>& asked, int64_t group) {
  std::vector<int64_t> kv_heads;
  for (const AskedHead& a : asked) {
    if (kv_heads.empty() || kv_heads.back() != a.head / group) kv_heads.push_back(a.head / group);
  }
  return kv_heads;
}

// At most kMaxImportanceHeads heads; a group that does not fit goes on in the next launch.
void set_heads(std::span<const AskedHead> asked, int64_t group, ImportanceTask& task) {
  task.num_groups = 0;
  for (size_t i = 0; i < asked.size(); ++i) {
    const auto kv_head = static_cast<int16_t>(asked[i].head / group);
    if (task.num_groups == 0 || task.kv_head[task.num_groups - 1] != kv_head) {
      task.group_begin[task.num_groups] = static_cast<int16_t>(i);
      task.kv_head[task.num_groups++] = kv_head;
    }
    task.head[i] = static_cast<int16_t>(asked[i].head);
    task.slot[i] = static_cast<int32_t>(asked[i].slot);
  }
  task.group_begin[task.num_groups] = static_cast<int16_t>(asked.size());
}

// Consecutive tiles share the query rows of a block, as long as the device stays full.
int tiles_per_block(const KernelLauncher& launcher, const ImportanceTask& task) {
  const int64_t tiles = (task.prefix + task.tile_keys - 1) / task.tile_keys;
  const int64_t blocks = kBlocksPerMultiprocessor * launcher.num_multiprocessors();
  return static_cast<int>(std::clamp<int64_t>(tiles * task.num_groups * task.batch / blocks, 1, 8));
}

at::Tensor pooled(const KernelLauncher& launcher,
                  const at::Tensor& scores,
                  const WindowImportanceOptions& options) {
  at::Tensor out = at::empty_like(scores);
  PoolTask task{};
  task.in = scores.const_data_ptr<float>();
  task.out = out.data_ptr<float>();
  task.n = scores.size(-1);
  task.rows = scores.numel() / task.n;
  task.kernel = static_cast<int>(options.pooling_kernel);
  task.average = options.pooling == WindowPooling::kAverage;
  launcher.launch(task);
  return out;
}

}  // namespace

std::optional<at::Tensor> window_importance_cuda(const KernelLauncher& launcher,
                                                 const at::Tensor& q,
                                                 const at::Tensor& k,
                                                 double scale,
                                                 std::span<const int64_t> heads,
                                                 const WindowImportanceOptions& options,
                                                 const std::optional<at::Tensor>& lse) {
  const int64_t batch = q.size(0), num_heads = q.size(1), w = q.size(2), num_keys = k.size(2);
  const int64_t num_kv_heads = k.size(1), group = num_heads / num_kv_heads, prefix = num_keys - w;
  if (!takes_head_dim(q.size(3)) || num_keys > INT32_MAX || num_heads > INT16_MAX ||
      w > INT16_MAX || group * w > kMostPackedRows || batch > UINT16_MAX ||
      options.pooling_kernel > INT16_MAX) {
    return std::nullopt;
  }
  const c10::DeviceGuard guard(q.device());
  const std::vector<AskedHead> asked = asked_heads(heads, num_heads);
  const auto num_out = static_cast<int64_t>(asked.size());
  at::Tensor out = at::empty({batch, num_out, prefix}, q.options().dtype(at::kFloat));
  if (out.numel() == 0) return out;
  const at::Tensor rows = readable_rows(q), keys = readable_rows(k);
  const at::Tensor row_lse =
      lse ? lse->contiguous()
          : row_lse_cuda(launcher, rows, keys, scale, prefix, kv_heads_of(asked, group));
  ImportanceTask task{};
  task.shape = tile_shape(std::array{rows, keys});
  task.q = rows_of(rows);
  task.k = rows_of(keys);
  task.lse = row_lse.const_data_ptr<float>();
  task.out = out.data_ptr<float>();
  task.prefix = prefix;
  task.w = static_cast<int>(w);
  task.batch = static_cast<int>(batch);
  task.num_heads = static_cast<int>(num_heads);
  task.num_out = static_cast<int>(num_out);
  task.tile_keys = warp_tile_keys(task.shape);
  task.scale2 = static_cast<float>(scale * kLog2OfE);
  task.factor = options.reduction == WindowReduction::kMean ? 1.0f / static_cast<float>(w) : 1.0f;
  task.square = options.reduction == WindowReduction::kSquare;
  for (size_t begin = 0; begin < asked.size(); begin += kMaxImportanceHeads) {
    const size_t count = std::min<size_t>(kMaxImportanceHeads, asked.size() - begin);
    set_heads({asked.data() + begin, count}, group, task);
    task.tiles_per_block = tiles_per_block(launcher, task);
    launcher.launch(task);
  }
  const bool pools = options.pooling != WindowPooling::kNone && options.pooling_kernel > 1;
  return pools ? pooled(launcher, out, options) : out;
}

}  // namespace headscope::kernels
