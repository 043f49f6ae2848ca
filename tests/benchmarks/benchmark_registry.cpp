#include "tests/benchmarks/benchmark.h"

namespace headscope::benchmarks {

const std::map<std::string, Benchmark>& benchmark_registry() {
  static const std::map<std::string, Benchmark> registry{
      {"error_curve", benchmark_error_curve},
      {"profile", benchmark_profile},
  };
  return registry;
}

}  // namespace headscope::benchmarks
