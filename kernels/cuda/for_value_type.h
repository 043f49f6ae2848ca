// From a number type that is known when a kernel is launched to one that its template knows.
#pragma once

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include "kernels/cuda/value_type.h"

namespace headscope::kernels {

// use(zero) with a zero of that type; what it returns.
template <class Use>
auto for_value_type(ValueType type, const Use& use) {
  switch (type) {
    case ValueType::kBFloat16:
      return use(c10::BFloat16{});
    case ValueType::kFloat16:
      return use(c10::Half{});
    case ValueType::kFloat32:
      break;
  }
  return use(0.0f);
}

}  // namespace headscope::kernels
