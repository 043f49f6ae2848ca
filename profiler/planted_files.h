// The files of a planted model: a Hugging Face directory written by hand.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "profiler/planted_model.h"

namespace headscope::profiler {

struct NamedTensor {
  std::string name;
  at::Tensor value;  // float32 on the CPU
};

// Special tokens first, then one token per byte, then whole words with the space before them.
struct PlantedVocabulary {
  std::vector<std::string> tokens;  // in the byte-level alphabet of GPT-2; index = id
  std::vector<std::pair<std::string, std::string>> merges;
  int64_t num_special = 0;
};

// The words are those of the built-in needles and the most frequent ones of the built-in prose, so
// that probes are made of words as they are for a real model; anything else falls apart into bytes.
[[nodiscard]] PlantedVocabulary planted_vocabulary();

void write_planted_config(const PlantedModelOptions& options,
                          int64_t hidden_size,
                          int64_t intermediate_size,
                          int64_t vocab_size,
                          const std::filesystem::path& path);

// tokenizer.json and tokenizer_config.json.
void write_planted_tokenizer(const PlantedVocabulary& vocabulary,
                             int64_t max_positions,
                             const std::filesystem::path& folder);

// One file, tensors stored as float16.
void write_safetensors(const std::vector<NamedTensor>& tensors, const std::filesystem::path& path);

}  // namespace headscope::profiler
