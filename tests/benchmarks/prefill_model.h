// A decoder with random weights, as it is and as its peers' sequences of LibTorch ops: the time of
// a prompt does not depend on the weights.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/decoder.h"

namespace headscope::benchmarks {

class PrefillModel {
 public:
  PrefillModel(const model::ModelConfig& config, at::ScalarType dtype);

  // Logits of the last token [vocab_size], ours and of the peer's ops; `fused`: products of q, k
  // and v together, gate and up together, LibTorch's fused norm.
  [[nodiscard]] at::Tensor ours(const std::vector<int64_t>& tokens) const;
  [[nodiscard]] at::Tensor reference(const std::vector<int64_t>& tokens, bool fused) const;
  // The layers' products alone; `by_thread`: after those of q, k and v every thread has its rows.
  void products(int64_t num_tokens, bool by_thread) const;
  // Multiplications and additions of the layers' products, and of causal attention.
  [[nodiscard]] double product_flops(int64_t n) const;
  [[nodiscard]] double attention_flops(int64_t n) const;

 private:
  static std::string prefix(int64_t layer) { return "model.layers." + std::to_string(layer) + "."; }
  [[nodiscard]] const at::Tensor& weight(const std::string& name) const {
    return tensors_.at(name + ".weight");
  }
  [[nodiscard]] at::Tensor norm(const at::Tensor& x, const std::string& name, bool fused) const;
  [[nodiscard]] at::Tensor attention(int64_t layer,
                                     const at::Tensor& x,
                                     const at::Tensor& cos,
                                     const at::Tensor& sin,
                                     bool fused) const;

  model::ModelConfig config_;
  at::ScalarType dtype_;
  std::map<std::string, at::Tensor> tensors_;
  model::Decoder decoder_;
  std::vector<at::Tensor> qkv_, gate_up_;
  std::vector<std::vector<at::Tensor>> packed_;
};

}  // namespace headscope::benchmarks
