// A hand-made Llama whose retrieval head is known by construction: the oracle of the scorers and
// the fast model of the tests.
//
// It is an induction circuit (Elhage et al. 2021; Olsson et al., 2209.11895). In layer 0 up to
// three heads write each token's predecessors next to it: their rotary queries are turned back by
// one, two and three positions. The planted head of a later layer compares the last three tokens
// with what stands before every place, and copies the token of the best match to the output. So the
// model continues a phrase as it went on the first time, which answers a probe whose answer prefix
// repeats the needle's words. Every other head attends almost evenly and writes small noise.
#pragma once

#include <cstdint>
#include <string>

#include "outputs/model_shape.h"

namespace headscope::profiler {

struct PlantedModelOptions {
  int64_t num_layers = 4;       // 2..200
  int64_t num_query_heads = 4;  // 2..256, a multiple of num_kv_heads
  int64_t num_kv_heads = 2;
  int64_t head_dim = 32;         // 32..256, a multiple of 8
  HeadId planted = {2, 1};       // layer 1 or later, any query head
  int64_t max_positions = 4096;  // 16..4096
  uint64_t seed = 0;             // of the token codes and the noise

  void validate() const;  // std::invalid_argument
};

// Writes config.json, model.safetensors (float16), tokenizer.json and tokenizer_config.json to
// `folder`, which is made where absent; a few hundred KB with the default shape. The tokenizer is
// byte-level BPE with a token for every byte and for the most frequent words of the built-in prose
// and needles. No chat template: prompts are raw.
void write_planted_model(const PlantedModelOptions& options, const std::string& folder);

}  // namespace headscope::profiler
