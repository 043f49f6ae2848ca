// A checkpoint in memory: named tensors handed out as a WeightSource, and random ones for any
// config.
#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "model/config_check.h"
#include "model/weights.h"
#include "outputs/input_error.h"

namespace headscope::testing {

class MemoryWeights : public model::WeightSource {
 public:
  explicit MemoryWeights(std::map<std::string, at::Tensor> tensors) : tensors_(std::move(tensors)) {
    for (const auto& [name, tensor] : tensors_) {
      infos_.push_back({name, tensor.sizes().vec(), "F32", static_cast<int64_t>(tensor.nbytes())});
    }
  }

  [[nodiscard]] const std::vector<model::TensorInfo>& tensors() const override { return infos_; }
  [[nodiscard]] bool contains(const std::string& name) const override {
    return tensors_.contains(name);
  }
  [[nodiscard]] at::Tensor load(const std::string& name,
                                at::ScalarType dtype,
                                at::Device device) const override {
    const auto it = tensors_.find(name);
    if (it == tensors_.end()) throw InputError("memory", "tensor " + name, "no such tensor");
    return it->second.to(device, dtype);
  }
  [[nodiscard]] std::vector<float> sample(const std::string& name, int64_t count) const override {
    const at::Tensor flat = load(name, at::kFloat, at::kCPU).flatten();
    std::vector<float> values;
    for (int64_t i = 0; i < count; ++i) {
      values.push_back(flat[i * flat.numel() / count].item<float>());
    }
    return values;
  }

 private:
  std::map<std::string, at::Tensor> tensors_;
  std::vector<model::TensorInfo> infos_;
};

// Every tensor that the config calls for: norms around 1, biases small, projections scaled so that
// activations keep their size and attention is peaked rather than flat.
inline std::map<std::string, at::Tensor> random_tensors(const model::ModelConfig& config,
                                                        uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  std::map<std::string, at::Tensor> tensors;
  for (const model::ExpectedTensor& expected : model::expected_tensors(config)) {
    at::Tensor values = at::randn(expected.dims, generator, at::kFloat);
    if (expected.name.ends_with("norm.weight")) {
      values = 1.0 + 0.1 * values;
    } else if (expected.dims.size() == 1) {
      values = 0.1 * values;
    } else if (!expected.name.ends_with("embed_tokens.weight")) {
      values = values * (1.5 / std::sqrt(static_cast<double>(expected.dims[1])));
    }
    tensors.emplace(expected.name, values);
  }
  return tensors;
}

}  // namespace headscope::testing
