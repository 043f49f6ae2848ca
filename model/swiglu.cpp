#include "model/swiglu.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cstdint>

#include "model/row_math.h"
#include "model/row_tasks.h"

namespace headscope::model {
namespace {

template <typename Element>
void gate_rows(const at::Tensor& gate_up, const at::Tensor& out) {
  const int64_t size = out.size(1);
  const auto* const source = gate_up.const_data_ptr<Element>();
  auto* const target = out.data_ptr<Element>();
  at::parallel_for(0, out.size(0), rows_per_task(size), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const Element* const gate = source + row * gate_up.stride(0);
      gate_row(gate, gate + size, target + row * size, size);
    }
  });
}

}  // namespace

at::Tensor swiglu(const at::Tensor& gate_up) {
  const int64_t size = gate_up.size(1) / 2;
  if (!gate_up.is_cpu() || gate_up.scalar_type() == at::kHalf) {
    at::Tensor gated = at::silu(gate_up.narrow(1, 0, size));
    gated.mul_(gate_up.narrow(1, size, size));
    return gated;
  }
  at::Tensor out = at::empty({gate_up.size(0), size}, gate_up.options());
  if (gate_up.scalar_type() == at::kFloat) {
    gate_rows<float>(gate_up, out);
  } else {
    gate_rows<at::BFloat16>(gate_up, out);
  }
  return out;
}

}  // namespace headscope::model
