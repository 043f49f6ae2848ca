// Writes checkpoints of a few kilobytes: a Hugging Face directory (config.json and safetensors, in
// one file or in shards) from given tensors, or from random weights for a configuration.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "model/config.h"

namespace headscope::testing {

struct RawTensor {
  std::string name;
  std::vector<int64_t> dims;
  std::string dtype;  // safetensors' spelling
  std::string bytes;
};

// dtype F32, F16 or BF16; values are rounded to it.
[[nodiscard]] RawTensor make_tensor(const std::string& name,
                                    const std::vector<int64_t>& dims,
                                    const std::vector<float>& values,
                                    const std::string& dtype = "F32");
[[nodiscard]] std::vector<float> values_of(const RawTensor& tensor);

void write_file(const std::string& path, const std::string& bytes);

// An 8-byte length, the header as given, the data: true or lying.
[[nodiscard]] std::string safetensors_bytes(const std::string& header, const std::string& data);
[[nodiscard]] std::string safetensors_bytes(const std::vector<RawTensor>& tensors);

// Two layers, 4 query and 2 KV heads of 8, hidden 32, vocabulary 48, in `architecture`'s way.
[[nodiscard]] model::ModelConfig tiny_config(const std::string& architecture = "llama");

// config.json with what `config` says; rotary scaling apart from llama3 is not written.
[[nodiscard]] std::string config_json(const model::ModelConfig& config);

// Every tensor that the configuration calls for, normal(0, 0.05), exact in bfloat16.
[[nodiscard]] std::vector<RawTensor> random_tensors(const model::ModelConfig& config,
                                                    uint64_t seed,
                                                    const std::string& dtype = "F32");

// config.json and the weights: model.safetensors, or num_shards files with their index.
void write_checkpoint(const std::filesystem::path& directory,
                      const model::ModelConfig& config,
                      const std::vector<RawTensor>& tensors,
                      int num_shards = 1);

}  // namespace headscope::testing
