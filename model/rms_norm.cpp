#include "model/rms_norm.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cstdint>

#include "model/row_math.h"
#include "model/row_tasks.h"

namespace headscope::model {
namespace {

template <typename Element>
void normalise_rows(const at::Tensor& x,
                    const at::Tensor& weight,
                    const at::Tensor& out,
                    float eps) {
  const int64_t size = x.size(1);
  const auto* const source = x.const_data_ptr<Element>();
  const auto* const w = weight.const_data_ptr<Element>();
  auto* const target = out.data_ptr<Element>();
  at::parallel_for(0, x.size(0), rows_per_task(size), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      normalise_row(source + row * x.stride(0), w, target + row * size, size, eps);
    }
  });
}

template <typename Element>
void normalise_heads(const at::Tensor& heads, const at::Tensor& weight, float eps) {
  const int64_t n = heads.size(1);
  const auto* const w = weight.const_data_ptr<Element>();
  auto* const data = heads.data_ptr<Element>();
  const int64_t row_size = heads.size(2) * heads.size(3);
  at::parallel_for(0, heads.size(0) * n, rows_per_task(row_size), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      Element* head = data + (row / n) * heads.stride(0) + (row % n) * heads.stride(1);
      for (int64_t h = 0; h < heads.size(2); ++h, head += heads.stride(2)) {
        normalise_row(head, w, head, heads.size(3), eps);
      }
    }
  });
}

at::Tensor rms_norm_on_device(const at::Tensor& x, const at::Tensor& weight, double eps) {
  const at::Tensor wide = x.to(at::kFloat);
  const at::Tensor scale = at::rsqrt(wide.square().mean(-1, /*keepdim=*/true) + eps);
  return weight * (wide * scale).to(x.scalar_type());
}

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  if (!x.is_cpu()) return rms_norm_on_device(x, weight, eps);
  at::Tensor out = at::empty(x.sizes(), x.options());
  const auto narrow_eps = static_cast<float>(eps);
  if (x.scalar_type() == at::kFloat) {
    normalise_rows<float>(x, weight, out, narrow_eps);
  } else if (x.scalar_type() == at::kBFloat16) {
    normalise_rows<at::BFloat16>(x, weight, out, narrow_eps);
  } else {
    normalise_rows<at::Half>(x, weight, out, narrow_eps);
  }
  return out;
}

void rms_norm_heads_(at::Tensor heads, const at::Tensor& weight, double eps) {
  const auto narrow_eps = static_cast<float>(eps);
  if (!heads.is_cpu()) {
    heads.copy_(rms_norm_on_device(heads, weight, eps));
  } else if (heads.scalar_type() == at::kFloat) {
    normalise_heads<float>(heads, weight, narrow_eps);
  } else if (heads.scalar_type() == at::kBFloat16) {
    normalise_heads<at::BFloat16>(heads, weight, narrow_eps);
  } else {
    normalise_heads<at::Half>(heads, weight, narrow_eps);
  }
}

}  // namespace headscope::model
