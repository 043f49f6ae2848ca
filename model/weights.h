// Named tensors of a checkpoint, under Hugging Face's names and in Hugging Face's layout, whatever
// the file: safetensors (single or sharded) or GGUF (dequantised, q/k rows un-permuted).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace headscope::model {

struct TensorInfo {
  std::string name;  // "model.layers.0.self_attn.q_proj.weight"
  std::vector<int64_t> dims;
  std::string stored_as;  // "BF16", "Q4_1", …
  int64_t stored_bytes = 0;
};

class WeightSource {
 public:
  virtual ~WeightSource() = default;
  // Every tensor of the checkpoint, sorted by name; headers only, no weight is read.
  [[nodiscard]] virtual const std::vector<TensorInfo>& tensors() const = 0;
  [[nodiscard]] virtual bool contains(const std::string& name) const = 0;
  // Reads, converts and moves one tensor; InputError names a missing one and the file.
  [[nodiscard]] virtual at::Tensor load(const std::string& name,
                                        at::ScalarType dtype,
                                        at::Device device) const = 0;
  // The values at sample_positions() as float32, without reading the rest.
  [[nodiscard]] virtual std::vector<float> sample(const std::string& name, int64_t count) const = 0;
};

// `count` evenly spaced positions of a flattened tensor, first and last included:
// floor(i * (num_values - 1) / (count - 1)). All positions where num_values <= count.
[[nodiscard]] std::vector<int64_t> sample_positions(int64_t num_values, int64_t count);

// Product of the dims. Precondition: checked by the reader of the header, so it does not overflow.
[[nodiscard]] int64_t num_values_of(const TensorInfo& info);

}  // namespace headscope::model
