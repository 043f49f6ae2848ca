// The number types of queries, keys and values.
#pragma once

namespace headscope::kernels {

enum class ValueType { kFloat32, kBFloat16, kFloat16 };

}  // namespace headscope::kernels
