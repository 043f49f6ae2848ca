// Writes small GGUF files, true or lying.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/config.h"
#include "tests/support/tiny_checkpoint.h"

namespace headscope::testing {

class GgufWriter {
 public:
  void add_uint32(const std::string& key, uint32_t value);
  void add_float32(const std::string& key, float value);
  void add_bool(const std::string& key, bool value);
  void add_string(const std::string& key, const std::string& value);
  void add_uint32s(const std::string& key, const std::vector<uint32_t>& values);
  void add_strings(const std::string& key, const std::vector<std::string>& values);
  // A key whose type and value bytes are given as they are.
  void add_raw(const std::string& key, uint32_t type, const std::string& value);
  // dims outermost first, as Hugging Face has them.
  void add_tensor(const std::string& name,
                  const std::vector<int64_t>& dims,
                  uint32_t type,
                  const std::string& bytes);

  uint32_t version = 3;
  uint64_t alignment = 32;
  std::string magic = "GGUF";
  uint64_t extra_tensors = 0;  // added to the count that the header states
  uint64_t extra_keys = 0;
  uint64_t offset_shift = 0;  // added to the last tensor's offset

  [[nodiscard]] std::string bytes() const;

 private:
  struct Tensor {
    std::string name;
    std::vector<int64_t> dims;
    uint32_t type;
    std::string bytes;
  };
  std::string keys_;
  uint64_t num_keys_ = 0;
  std::vector<Tensor> tensors_;
};

// A number's bytes, for add_raw.
template <typename T>
[[nodiscard]] std::string raw_bytes(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

// The GGUF copy of a Hugging Face checkpoint, as the usual converter lays it out: matrices as
// `dtype` (F32, F16, BF16), norms and biases as F32, query and key rows permuted for "llama",
// Llama-3.1's rotary parameters as a table of factors.
[[nodiscard]] GgufWriter gguf_copy(const model::ModelConfig& config,
                                   const std::vector<RawTensor>& tensors,
                                   const std::string& dtype);

}  // namespace headscope::testing
