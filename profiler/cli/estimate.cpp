#include "profiler/cli/estimate.h"

#include <algorithm>
#include <cmath>
#include <sstream>

namespace headscope::cli {

void emit_estimate(const Session& session,
                   const std::string& model_path,
                   const profiler::RunSize& size) {
  const auto source = model::open_model_source(model_path);
  const at::Device device = session.device();
  const at::ScalarType dtype = session.dtype(source->config(), device);
  const profiler::RunEstimate estimate = profiler::estimate_run(
      source->config(), dtype, size, profiler::measure_flops(source->config(), dtype, device));
  std::ostringstream text;
  text << "would need " << human_bytes(estimate.peak_bytes) << " at its peak: weights "
       << human_bytes(estimate.weight_bytes) << ", KV cache " << human_bytes(estimate.kv_bytes)
       << ", activations " << human_bytes(estimate.transient_bytes) << ", program "
       << human_bytes(estimate.program_bytes) << "\n";
  if (estimate.seconds > 0) {
    const int64_t seconds = std::max<int64_t>(1, std::llround(estimate.seconds));
    text << "would take about ";
    if (seconds < 120) {
      text << seconds << " s here\n";
    } else {
      text << (seconds + 30) / 60 << " min here\n";
    }
  }
  session.emit(Json{{"dry_run", true},
                    {"peak_bytes", estimate.peak_bytes},
                    {"weight_bytes", estimate.weight_bytes},
                    {"kv_bytes", estimate.kv_bytes},
                    {"transient_bytes", estimate.transient_bytes},
                    {"program_bytes", estimate.program_bytes},
                    {"seconds", estimate.seconds}},
               text.str());
}

}  // namespace headscope::cli
