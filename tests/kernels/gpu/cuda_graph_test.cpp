// What only a GPU can show: that the ops can be captured into a CUDA graph, which forbids waiting
// for the device and memory from anywhere but the caching allocator.
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <functional>

#include "kernels/ops.h"
#include "tests/kernels/variants.h"

namespace headscope::kernels {
namespace {

// Captures op() on the inputs as they are, fills `inputs` with other numbers, replays, and compares
// with a plain call.
void check_replay(const std::vector<at::Tensor>& inputs, const std::function<at::Tensor()>& op) {
  const c10::cuda::CUDAStream stream = c10::cuda::getStreamFromPool();
  const c10::cuda::CUDAStreamGuard guard(stream);
  static_cast<void>(op());
  stream.synchronize();
  at::cuda::CUDAGraph graph;
  graph.capture_begin();
  const at::Tensor result = op();
  graph.capture_end();
  for (const at::Tensor& input : inputs) input.normal_();
  graph.replay();
  const at::Tensor want = op();
  stream.synchronize();
  CHECK(at::equal(result, want));
}

TEST_CASE("ops are captured into a CUDA graph and replayed on new numbers", "[kernels][gpu]") {
  if (!reason_to_skip(Way::kCuda).empty()) {
    std::cout << "SKIPPED: " << reason_to_skip(Way::kCuda) << "\n";
    return;
  }
  const auto options = at::TensorOptions().device(at::kCUDA).dtype(at::kBFloat16);
  const at::Tensor q = at::randn({1, 8, 8, 64}, options), k = at::randn({1, 2, 3000, 64}, options);
  const at::Tensor v = at::randn({1, 2, 3000, 64}, options);
  const WindowImportanceOptions pooled{WindowReduction::kSum, WindowPooling::kAverage, 5};
  check_replay({q, k}, [&] { return window_importance(q, k, 0.1, {}, pooled); });
  const at::Tensor scores = at::randn({3, 200000}, options.dtype(at::kFloat));
  const std::vector<int64_t> count{5, 1000, 4096};
  check_replay({scores}, [&] { return at::cat(select_retained(scores, count)); });
  const at::Tensor kept = at::arange(0, 3000, 2, options.dtype(at::kLong));
  const at::Tensor target = at::empty({1500, 64}, options);
  check_replay({k}, [&] {
    compact_kv(k[0][1], kept, target, 0);
    return target.clone();
  });
  const std::vector<KeySpan> spans{{10, 40}, {0, 2900}};
  check_replay({q, k}, [&] { return span_attention(q[0], k[0], 0.1, 2900, spans); });
  check_replay({q, k}, [&] { return top_attended(q[0], k[0], 0.1, 2900, 5).weight; });
  const RaggedKv kv{k[0].view({6000, 64}), v[0].view({6000, 64}), {0, 3000}, {2000, 30}};
  check_replay({q, k, v}, [&] { return ragged_attention(q, kv, 0.1).z; });
  const at::Tensor order = at::arange(0, 2000, options.dtype(at::kLong)).flip(0).expand({2, 2000});
  const std::vector<int64_t> cuts{100, 2000};
  check_replay({q, k, v},
               [&] { return error_curve(q[0], k[0], v[0], 0.1, 2900, order, cuts, 2000); });
}

}  // namespace
}  // namespace headscope::kernels
