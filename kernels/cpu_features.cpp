#include "kernels/cpu_features.h"

#include <atomic>
#include <stdexcept>

namespace headscope::kernels {
namespace {

InstructionSet best() {
  if (supports(InstructionSet::kAvx512Bf16)) return InstructionSet::kAvx512Bf16;
  if (supports(InstructionSet::kAvx512)) return InstructionSet::kAvx512;
  if (supports(InstructionSet::kAvx2)) return InstructionSet::kAvx2;
  return InstructionSet::kPortable;
}

std::atomic<InstructionSet>& current() {
  static std::atomic<InstructionSet> set{best()};
  return set;
}

}  // namespace

bool supports(InstructionSet set) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (set == InstructionSet::kAvx512Bf16) return avx512 && __builtin_cpu_supports("avx512bf16");
  if (set == InstructionSet::kAvx512) return avx512;
  if (set == InstructionSet::kAvx2) return avx2;
  return true;
#else
  return set == InstructionSet::kPortable;
#endif
}

InstructionSet instruction_set() {
  return current().load(std::memory_order_relaxed);
}

void override_instruction_set(std::optional<InstructionSet> set) {
  if (set && !supports(*set)) {
    throw std::invalid_argument("instruction set: this processor does not support the asked one");
  }
  current().store(set.value_or(best()), std::memory_order_relaxed);
}

}  // namespace headscope::kernels
