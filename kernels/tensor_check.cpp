#include "kernels/tensor_check.h"

#include <c10/core/ScalarType.h>

#include <sstream>
#include <stdexcept>

namespace headscope::kernels {
namespace {

[[noreturn]] void refuse(const char* name, const std::string& expected, const std::string& found) {
  throw std::invalid_argument(std::string(name) + ": expected " + expected + ", found " + found);
}

std::string shape_of(const at::Tensor& tensor) {
  std::ostringstream out;
  out << tensor.sizes();
  return out.str();
}

std::string shape_of(std::initializer_list<ExpectedSize> expected) {
  std::string out = "[";
  for (const ExpectedSize& dim : expected) {
    if (out.size() > 1) out += ", ";
    out += dim.word;
    if (dim.size != kAnySize) out += "=" + std::to_string(dim.size);
  }
  return out + "]";
}

}  // namespace

void expect(bool holds, const char* name, const std::string& expected, const std::string& found) {
  if (!holds) refuse(name, expected, found);
}

void expect_shape(const at::Tensor& tensor,
                  const char* name,
                  std::initializer_list<ExpectedSize> expected) {
  if (!tensor.defined()) refuse(name, shape_of(expected), "an undefined tensor");
  bool same = tensor.dim() == static_cast<int64_t>(expected.size());
  int64_t i = 0;
  for (const ExpectedSize& dim : expected) {
    same = same && (dim.size == kAnySize || tensor.size(i) == dim.size);
    ++i;
  }
  if (!same) refuse(name, shape_of(expected), shape_of(tensor));
}

void expect_dtype(const at::Tensor& tensor, const char* name, at::ScalarType expected) {
  if (tensor.scalar_type() != expected) {
    refuse(name, c10::toString(expected), c10::toString(tensor.scalar_type()));
  }
}

void expect_attention_dtype(const at::Tensor& tensor, const char* name) {
  const at::ScalarType type = tensor.scalar_type();
  if (type != at::kFloat && type != at::kBFloat16 && type != at::kHalf) {
    refuse(name, "float32, bfloat16 or float16", c10::toString(type));
  }
}

void expect_same_dtype(const at::Tensor& tensor,
                       const char* name,
                       const at::Tensor& other,
                       const char* other_name) {
  if (tensor.scalar_type() != other.scalar_type()) {
    refuse(
        name,
        std::string("the dtype of ") + other_name + " (" + c10::toString(other.scalar_type()) + ")",
        c10::toString(tensor.scalar_type()));
  }
}

void expect_same_device(const at::Tensor& tensor,
                        const char* name,
                        const at::Tensor& other,
                        const char* other_name) {
  if (tensor.device() != other.device()) {
    refuse(name, std::string("the device of ") + other_name + " (" + other.device().str() + ")",
           tensor.device().str());
  }
}

void expect_query_groups(int64_t num_query_heads, int64_t num_kv_heads) {
  if (num_kv_heads <= 0 || num_query_heads <= 0 || num_query_heads % num_kv_heads != 0) {
    refuse("q",
           "a number of query heads that is a positive multiple of the " +
               std::to_string(num_kv_heads) + " KV heads",
           std::to_string(num_query_heads));
  }
}

}  // namespace headscope::kernels
