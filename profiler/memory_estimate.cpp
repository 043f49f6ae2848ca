#include "profiler/memory_estimate.h"

#include <ATen/ATen.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>

#include "model/projection.h"
#include "runtime/full_layer.h"

namespace headscope::profiler {
namespace {

// What a run adds to the libraries whatever the model: a tokenizer, probes, the allocator's slack,
// pages of the weights' file that the system maps around those asked for. Measured on Linux with
// models of 135 M and 1.2 G parameters: VmHWM less what is counted below.
constexpr int64_t kWorkingBytes = 90'000'000;
// Libraries and their tables, where the system does not say what this process holds.
constexpr int64_t kTypicalLibraryBytes = 130'000'000;

// What this process holds now. Before a model is loaded that is its libraries: a third of a
// gigabyte more where LibTorch came with CUDA, so it is read and not assumed.
int64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t total_pages = 0;
  int64_t resident_pages = 0;
  if (!(statm >> total_pages >> resident_pages)) return kTypicalLibraryBytes;
  return resident_pages * static_cast<int64_t>(sysconf(_SC_PAGESIZE));
}

// A decode step reads every weight for one row of products; on CPUs and GPUs alike that runs at
// about this share of the rate of large products.
constexpr double kDecodeShare = 1.0 / 12.0;
// What a whole forward pass reaches of the rate of its largest product.
constexpr double kPassShare = 0.75;

struct ParameterCount {
  int64_t layers = 0;     // multiplied with every token
  int64_t embedding = 0;  // looked up
  int64_t output = 0;     // multiplied with the last token; 0 = tied
};

ParameterCount count_parameters(const model::ModelConfig& config) {
  const int64_t h = config.hidden_size;
  const int64_t q = config.num_query_heads * config.head_dim;
  const int64_t kv = config.num_kv_heads * config.head_dim;
  const int64_t layer = 2 * h * q + 2 * h * kv + 3 * h * config.intermediate_size + 2 * h;
  return {.layers = config.num_layers * layer + h,
          .embedding = config.vocab_size * h,
          .output = config.tie_word_embeddings ? 0 : config.vocab_size * h};
}

// Activations of one chunk at their largest: the feed-forward block (hidden in and out, gate and up
// together, their product) beside the residual stream; or attention (q, k, v, their rotated copies,
// z).
int64_t chunk_bytes(const model::ModelConfig& config,
                    int64_t element,
                    int64_t rows,
                    int64_t logit_rows) {
  const int64_t h = config.hidden_size;
  const int64_t q = config.num_query_heads * config.head_dim;
  const int64_t kv = config.num_kv_heads * config.head_dim;
  const int64_t feed_forward = 3 * h + 4 * config.intermediate_size;
  const int64_t attention = 3 * h + 4 * q + 6 * kv;
  return rows * element * std::max(feed_forward, attention) + logit_rows * config.vocab_size * 8;
}

}  // namespace

RunEstimate estimate_run(const model::ModelConfig& config,
                         at::ScalarType dtype,
                         const RunSize& size,
                         double flops_per_second) {
  const auto element = static_cast<int64_t>(c10::elementSize(dtype));
  const ParameterCount parameters = count_parameters(config);
  const ModelShape shape = config.shape();
  RunEstimate estimate;
  estimate.weight_bytes = element * (parameters.layers + parameters.embedding + parameters.output);
  const int64_t full_cache =
      runtime::full_capacity(size.longest_context) * shape.kv_bytes_per_token(element);
  const int64_t copied = size.compressed_tokens;
  estimate.kv_bytes =
      full_cache +
      (copied > 0 ? runtime::full_capacity(copied) * shape.kv_bytes_per_token(element) : 0);
  const int64_t rows = std::min(size.chunk_tokens, size.longest_context);
  estimate.transient_bytes = chunk_bytes(config, element, rows, size.logit_rows);
  // The last layer's largest product is there as it was read beside its packed form.
  const int64_t gate_up = 2 * config.hidden_size * config.intermediate_size;
  estimate.program_bytes = resident_bytes() + kWorkingBytes + 2 * element * gate_up;
  estimate.peak_bytes =
      estimate.weight_bytes + estimate.kv_bytes + estimate.transient_bytes + estimate.program_bytes;
  if (flops_per_second > 0.0) {
    const double per_token = 2.0 * static_cast<double>(parameters.layers);
    // A prompt's token sees half of the context on average; q.k and the weighted sum of v.
    const double attention =
        2.0 * static_cast<double>(config.num_layers * config.num_query_heads * config.head_dim) *
        static_cast<double>(size.longest_context);
    const double prefill =
        static_cast<double>(size.prompt_tokens) * (per_token + attention) / kPassShare;
    const double decode = static_cast<double>(size.decode_tokens) *
                          (per_token + 2.0 * static_cast<double>(parameters.embedding)) /
                          kDecodeShare;
    estimate.seconds = (prefill + decode) / flops_per_second;
  }
  return estimate;
}

double measure_flops(const model::ModelConfig& config, at::ScalarType dtype, at::Device device) {
  constexpr int64_t kRows = 256;
  const at::TensorOptions options = at::TensorOptions().dtype(dtype).device(device);
  const at::Tensor a = at::ones({kRows, config.hidden_size}, options);
  const at::Tensor b =
      model::packed_weight(at::ones({config.intermediate_size, config.hidden_size}, options));
  // Reading one number back waits for the device.
  const auto product = [&] { return model::project(a, b, {})[0][0].item<double>(); };
  static_cast<void>(product());
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  double elapsed = 0.0;
  int64_t runs = 0;
  while (elapsed < 0.1) {
    static_cast<void>(product());
    ++runs;
    elapsed = std::chrono::duration<double>(Clock::now() - start).count();
  }
  return 2.0 * static_cast<double>(runs * kRows * config.hidden_size * config.intermediate_size) /
         elapsed;
}

}  // namespace headscope::profiler
