// headscope_gpu_bench --json F | --check
//
// One layer of Llama-3.1-8B's geometry: each kernel against the composition of public ATen ops that
// computes the same, on the GPU. Times are those of the device between two CUDA events, with the
// second-level cache overwritten before each, in the order ours, other, other, ours, …; medians and
// the 10th and 90th percentile of the pairs' ratios. --check compares the results on small cases,
// on any device.
#include <ATen/ATen.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "analysis/quantile.h"
#include "kernels/aten_ops.h"
#include "kernels/ops.h"
#include "outputs/atomic_file.h"
#include "outputs/json_fields.h"

namespace headscope::benchmarks {
namespace {

using Json = nlohmann::ordered_json;
using kernels::KeySpan;

constexpr int64_t kQueryHeads = 32, kKvHeads = 8, kHeadDim = 128;
constexpr double kScale = 0.08838834764831845;  // 1 / sqrt(128)
constexpr int kPairs = 30, kWarmUps = 10;
constexpr double kGigabyte = 1e9;

// Two ways to one result; `bytes` must be read or written at least.
struct Case {
  std::string op, name;
  double bytes;
  std::function<at::Tensor()> ours, other;
};

struct Sizes {
  at::Device device;
  at::ScalarType dtype;
  int64_t num_keys, kept, rows;
};

at::Tensor normal(const Sizes& s, std::vector<int64_t> shape) {
  return at::randn(shape).to(s.dtype).to(s.device);
}

double bytes_of(const at::Tensor& t) {
  return static_cast<double>(t.nbytes());
}

Case window_case(const Sizes& s, int64_t w) {
  const at::Tensor q = normal(s, {1, kQueryHeads, w, kHeadDim});
  const at::Tensor k = normal(s, {1, kKvHeads, s.num_keys, kHeadDim});
  const at::Tensor lse = kernels::row_lse_aten(q[0], k[0], kScale, s.num_keys - w).unsqueeze(0);
  const kernels::WindowImportanceOptions pooled{kernels::WindowReduction::kSum,
                                                kernels::WindowPooling::kAverage, 5};
  return {"window_importance", "w " + std::to_string(w), bytes_of(k),
          [=] { return kernels::window_importance(q, k, kScale, {}, pooled, lse); },
          [=] { return kernels::window_importance_aten(q, k, kScale, {}, pooled, lse); }};
}

Case select_case(const Sizes& s, int64_t rows) {
  const at::Tensor scores = at::randn({rows, s.num_keys}).mul(3.0).exp().to(s.device);
  const std::vector<int64_t> count(static_cast<size_t>(rows), s.kept);
  const int64_t kept = s.kept;
  return {"select_retained", std::to_string(rows) + " rows", bytes_of(scores),
          [=] { return at::stack(kernels::select_retained(scores, count)); },
          [=] {
            const at::Tensor best = std::get<1>(at::topk(scores, kept, -1, true, /*sorted=*/false));
            return std::get<0>(at::sort(best));
          }};
}

Case compact_case(const Sizes& s) {
  const at::Tensor rows = normal(s, {s.num_keys, kHeadDim});
  const at::Tensor kept = std::get<0>(at::randperm(s.num_keys).slice(0, 0, s.kept).sort());
  const at::Tensor positions = kept.to(s.device);
  const at::Tensor target = at::empty({s.kept, kHeadDim}, rows.options());
  return {"compact_kv", "one head", 2.0 * bytes_of(target),
          [=] {
            kernels::compact_kv(rows, positions, target, 0);
            return target;
          },
          [=] { return rows.index_select(0, positions); }};
}

Case span_case(const Sizes& s) {
  const at::Tensor q = normal(s, {kQueryHeads, s.rows, kHeadDim});
  const at::Tensor k = normal(s, {kKvHeads, s.num_keys, kHeadDim});
  const int64_t first = s.num_keys - s.rows;
  const at::Tensor lse = kernels::row_lse_aten(q, k, kScale, first);
  const std::vector<KeySpan> spans{{first / 2, first / 2 + 32}};
  return {"span_attention", "32 keys", bytes_of(k) * 32.0 / static_cast<double>(s.num_keys),
          [=] { return kernels::span_attention(q, k, kScale, first, spans, lse); },
          [=] { return kernels::span_attention_aten(q, k, kScale, first, spans, lse); }};
}

Case top_case(const Sizes& s) {
  const at::Tensor q = normal(s, {kQueryHeads, s.rows, kHeadDim});
  const at::Tensor k = normal(s, {kKvHeads, s.num_keys, kHeadDim});
  const int64_t first = s.num_keys - s.rows;
  return {"top_attended", "10 keys", bytes_of(k),
          [=] { return kernels::top_attended(q, k, kScale, first, 10).weight; },
          [=] { return kernels::top_attended_aten(q, k, kScale, first, 10, {}).weight; }};
}

// A decode step over kept keys of every head; the other way is LibTorch's attention with grouped
// heads over the same keys in one dense cache.
Case decode_case(const Sizes& s, int64_t batch) {
  const at::Tensor q = normal(s, {batch, kQueryHeads, 1, kHeadDim});
  const at::Tensor k = normal(s, {batch, kKvHeads, s.kept, kHeadDim});
  const at::Tensor v = normal(s, {batch, kKvHeads, s.kept, kHeadDim});
  kernels::RaggedKv kv{k.view({-1, kHeadDim}), v.view({-1, kHeadDim}), {}, {}};
  for (int64_t r = 0; r < batch * kKvHeads; ++r) {
    kv.offset.push_back(r * s.kept);
    kv.length.push_back(s.kept);
  }
  return {"ragged_attention", "batch " + std::to_string(batch), 2.0 * bytes_of(k),
          [=] { return kernels::ragged_attention(q, kv, kScale).z; },
          [=] {
            return at::scaled_dot_product_attention(q, k, v, {}, 0.0, /*is_causal=*/false, kScale,
                                                    /*enable_gqa=*/true);
          }};
}

Case curve_case(const Sizes& s) {
  const at::Tensor q = normal(s, {kQueryHeads, s.rows, kHeadDim});
  const at::Tensor k = normal(s, {kKvHeads, s.num_keys, kHeadDim});
  const at::Tensor v = normal(s, {kKvHeads, s.num_keys, kHeadDim});
  const int64_t first = s.num_keys - s.rows;
  const at::Tensor order =
      at::randperm(first).slice(0, 0, s.kept).to(s.device).expand({kKvHeads, s.kept});
  std::vector<int64_t> cuts;
  for (int64_t i = 1; i <= 16; ++i) cuts.push_back(s.kept * i / 16);
  const double bytes =
      2.0 * bytes_of(k) * static_cast<double>(s.kept + s.rows) / static_cast<double>(s.num_keys);
  return {"error_curve", "16 budgets", bytes,
          [=] { return kernels::error_curve(q, k, v, kScale, first, order, cuts, first); },
          [=] { return kernels::error_curve_aten(q, k, v, kScale, first, order, cuts, first); }};
}

std::vector<Case> cases(const Sizes& s) {
  return {window_case(s, 8), window_case(s, 64), select_case(s, 1), select_case(s, 32),
          compact_case(s),   span_case(s),       top_case(s),       decode_case(s, 1),
          decode_case(s, 8), curve_case(s)};
}

// Twice the rounding of bfloat16 for outputs in it, on numbers up to 4.
void check(const Case& c, at::ScalarType dtype) {
  const at::Tensor a = c.ours().cpu().to(at::kDouble), b = c.other().cpu().to(at::kDouble);
  const double gap = (a - b).abs().max().item<double>();
  const double bound = dtype == at::kFloat ? 1e-4 : 4.0 * 0x1p-7;
  if (a.sizes() != b.sizes() || !(gap <= bound)) {
    throw std::runtime_error(c.op + ", " + c.name + ": results differ by " + std::to_string(gap));
  }
}

class DeviceTimer {
 public:
  explicit DeviceTimer(const at::Device& device)
      : flush_(
            at::empty({int64_t{256} << 20}, at::TensorOptions().device(device).dtype(at::kByte))) {
    cudaEventCreate(&begin_);
    cudaEventCreate(&end_);
  }
  DeviceTimer(const DeviceTimer&) = delete;
  DeviceTimer& operator=(const DeviceTimer&) = delete;
  ~DeviceTimer() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
  }

  double milliseconds(const std::function<at::Tensor()>& work) {
    const cudaStream_t stream = c10::cuda::getCurrentCUDAStream().stream();
    flush_.zero_();
    cudaEventRecord(begin_, stream);
    const at::Tensor result = work();
    cudaEventRecord(end_, stream);
    cudaEventSynchronize(end_);
    float ms = 0.0f;
    if (cudaEventElapsedTime(&ms, begin_, end_) != cudaSuccess) {
      throw std::runtime_error("the device does not tell the time");
    }
    return static_cast<double>(ms);
  }

 private:
  at::Tensor flush_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

double sorted_quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return analysis::quantile(values, q);
}

Json time_case(const Case& c, const Sizes& s, double copy_gbs, DeviceTimer& timer) {
  for (int i = 0; i < kWarmUps; ++i) timer.milliseconds(c.ours), timer.milliseconds(c.other);
  std::vector<double> ours, other, ratio;
  for (int pair = 0; pair < kPairs; ++pair) {
    const bool first = pair % 2 == 0;
    const double one = timer.milliseconds(first ? c.ours : c.other);
    const double two = timer.milliseconds(first ? c.other : c.ours);
    ours.push_back(first ? one : two);
    other.push_back(first ? two : one);
    ratio.push_back(other.back() / ours.back());
  }
  const double ms = sorted_quantile(ours, 0.5);
  const double gbs = c.bytes / ms * 1e3 / kGigabyte;
  return {
      {"op", c.op},
      {"case", c.name + ", S " + std::to_string(s.num_keys) + ", kept " + std::to_string(s.kept)},
      {"dtype", c10::toString(s.dtype)},
      {"ours_ms", ms},
      {"b1_ms", sorted_quantile(other, 0.5)},
      {"ratio_b1", sorted_quantile(ratio, 0.5)},
      {"p10", sorted_quantile(ratio, 0.1)},
      {"p90", sorted_quantile(ratio, 0.9)},
      {"gbs", gbs},
      {"fraction_of_roof", gbs / copy_gbs}};
}

// Bytes read and written each second by a copy of 1 GiB.
double copy_bandwidth(const at::Device& device, DeviceTimer& timer) {
  const auto options = at::TensorOptions().device(device).dtype(at::kByte);
  const at::Tensor from = at::zeros({int64_t{1} << 30}, options), to = at::empty_like(from);
  double best = 0.0;
  for (int i = 0; i < kWarmUps; ++i) {
    const double ms = timer.milliseconds([&] { return to.copy_(from); });
    best = std::max(best, 2.0 * bytes_of(from) / ms * 1e3 / kGigabyte);
  }
  return best;
}

int check_all() {
  at::manual_seed(7);
  const at::Device device = at::hasCUDA() ? at::Device(at::kCUDA) : at::Device(at::kCPU);
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const Case& c : cases({device, dtype, 700, 96, 5})) check(c, dtype);
  }
  return 0;
}

int time_all(const std::string& file) {
  if (!at::hasCUDA()) throw std::runtime_error("no CUDA device");
  at::manual_seed(7);
  const at::Device device(at::kCUDA, c10::cuda::current_device());
  DeviceTimer timer(device);
  cudaDeviceProp properties{};
  cudaGetDeviceProperties(&properties, device.index());
  const double copy_gbs = copy_bandwidth(device, timer);
  Json record{{"machine", {{"gpu", properties.name}}}, {"roofs", {{"copy_gbs", copy_gbs}}}};
  record["rows"] = Json::array();
  for (const int64_t num_keys : {8192, 32768, 131072}) {
    const Sizes s{device, at::kBFloat16, num_keys, 1024, 32};
    for (const Case& c : cases(s)) {
      check(c, s.dtype);
      record["rows"].push_back(time_case(c, s, copy_gbs, timer));
      std::cout << record["rows"].back().dump() << std::endl;
    }
  }
  outputs::write_file_atomically(file, outputs::to_readable_json(record), /*overwrite=*/true);
  return 0;
}

}  // namespace
}  // namespace headscope::benchmarks

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  try {
    if (arguments == std::vector<std::string>{"--check"}) {
      return headscope::benchmarks::check_all();
    }
    if (arguments.size() == 2 && arguments[0] == "--json") {
      return headscope::benchmarks::time_all(arguments[1]);
    }
    std::cerr << "headscope_gpu_bench: expected --json FILE or --check\n";
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "headscope_gpu_bench: " << error.what() << "\n";
    return 1;
  }
}
