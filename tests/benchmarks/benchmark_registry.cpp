#include "tests/benchmarks/benchmark.h"

namespace headscope::benchmarks {

const std::map<std::string, Benchmark>& benchmark_registry() {
  static const std::map<std::string, Benchmark> registry{
      {"causal_attention", benchmark_causal_attention},
      {"compact_kv", benchmark_compact_kv},
      {"decode", benchmark_decode},
      {"error_curve", benchmark_error_curve},
      {"first_token", benchmark_first_token},
      {"prefill", benchmark_prefill},
      {"profile", benchmark_profile},
      {"ragged_attention", benchmark_ragged_attention},
      {"select_retained", benchmark_select_retained},
      {"span_attention", benchmark_span_attention},
      {"top_attended", benchmark_top_attended},
      {"window_importance", benchmark_window_importance},
  };
  return registry;
}

}  // namespace headscope::benchmarks
