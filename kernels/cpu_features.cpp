#include "kernels/cpu_features.h"

#include <atomic>
#include <stdexcept>

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace headscope::kernels {
namespace {

#if defined(__x86_64__) && defined(__linux__)
// Tile registers enlarge a thread's saved state: Linux hands them out on request, to the process.
bool may_use_tiles() {
  constexpr unsigned kTile = 1u << 24, kBf16 = 1u << 22;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kTile) == 0 || (d & kBf16) == 0) {
    return false;
  }
  static const bool granted = syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return granted;
}
#else
bool may_use_tiles() {
  return false;
}
#endif

InstructionSet best() {
  if (supports(InstructionSet::kAmxBf16)) return InstructionSet::kAmxBf16;
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
  const bool bf16 = avx512 && __builtin_cpu_supports("avx512bf16");
  if (set == InstructionSet::kAmxBf16) return bf16 && may_use_tiles();
  if (set == InstructionSet::kAvx512Bf16) return bf16;
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
