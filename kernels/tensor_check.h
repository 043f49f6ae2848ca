// Argument checks of the door (ops.h). A failed check throws std::invalid_argument that names the
// tensor, what was expected and what was found.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <initializer_list>
#include <string>

namespace headscope::kernels {

// One expected dimension: its word in the shape comment, and its size (kAnySize: free).
struct ExpectedSize {
  const char* word;
  int64_t size;
};
inline constexpr int64_t kAnySize = -1;

void expect_shape(const at::Tensor& tensor,
                  const char* name,
                  std::initializer_list<ExpectedSize> expected);

// float32, bfloat16 or float16.
void expect_attention_dtype(const at::Tensor& tensor, const char* name);
void expect_dtype(const at::Tensor& tensor, const char* name, at::ScalarType expected);

// Same dtype / same device as `other`.
void expect_same_dtype(const at::Tensor& tensor,
                       const char* name,
                       const at::Tensor& other,
                       const char* other_name);
void expect_same_device(const at::Tensor& tensor,
                        const char* name,
                        const at::Tensor& other,
                        const char* other_name);

// Query heads must be a positive multiple of the KV heads.
void expect_query_groups(int64_t num_query_heads, int64_t num_kv_heads);

// The general form: throws "`name`: expected `expected`, found `found`" unless `holds`.
void expect(bool holds, const char* name, const std::string& expected, const std::string& found);

}  // namespace headscope::kernels
