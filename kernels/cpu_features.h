// Which compiled copy of the CPU kernels runs: the best the processor has, decided once.
#pragma once

#include <optional>

namespace headscope::kernels {

enum class InstructionSet {
  kPortable,
  kAvx2,        // with FMA and F16C
  kAvx512,      // F, BW, DQ and VL, on top of kAvx2
  kAvx512Bf16,  // and bfloat16 products
  kAmxBf16,     // and tiles of them
};

// True where this processor and operating system can run `set`.
[[nodiscard]] bool supports(InstructionSet set);

// The set in use: the best supported one, unless a test chose another.
[[nodiscard]] InstructionSet instruction_set();

// For tests: makes the kernels use `set` from now on; nullopt goes back to the best one. Throws
// std::invalid_argument where `set` is not supported.
void override_instruction_set(std::optional<InstructionSet> set);

}  // namespace headscope::kernels
