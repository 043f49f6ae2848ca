// A hand-made Llama whose retrieval head is known by construction: the oracle of the scorers and
// the fast model of the tests.
//
// Layer 0 writes each token's predecessor next to it (one head, by rotary position); the planted
// head of a later layer looks for the place whose predecessor is the current token and copies the
// token there to the output: an induction circuit (Elhage et al. 2021, Olsson et al. 2209.11895).
// So the model continues a repeated phrase as it went on the first time, which answers a probe
// whose answer prefix repeats the needle's words. Every other head attends almost evenly and writes
// small noise.
#pragma once

#include <cstdint>
#include <string>

#include "outputs/model_shape.h"

namespace headscope::profiler {

struct PlantedModelOptions {
  int64_t num_layers = 4;       // 2 or more
  int64_t num_query_heads = 4;  // a multiple of num_kv_heads
  int64_t num_kv_heads = 2;
  int64_t head_dim = 64;    // even, 32 or more
  HeadId planted = {2, 1};  // layer 1 or later, any query head
  int64_t max_positions = 4096;
  uint64_t seed = 0;  // of the token codes and the noise

  void validate() const;  // std::invalid_argument
};

// Writes config.json, model.safetensors, tokenizer.json and tokenizer_config.json to `folder` (made
// where absent). The tokenizer is byte-level BPE without merges: one token per byte.
void write_planted_model(const PlantedModelOptions& options, const std::string& folder);

}  // namespace headscope::profiler
