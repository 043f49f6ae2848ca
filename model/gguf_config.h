// ModelConfig from the keys and tensor infos of a GGUF file.
#pragma once

#include "model/config.h"
#include "model/gguf.h"

namespace headscope::model {

// Architectures "llama", "mistral", "qwen2", "qwen3". What GGUF does not say with a key is read off
// the tensors: tied embeddings (no output.weight), biases, the vocabulary (token_embd.weight) and
// Llama-3.1's rotary factors (rope_freqs.weight). InputError as for config.json, and for a file
// with differing head counts between layers, experts, or a split over several files.
[[nodiscard]] ModelConfig read_gguf_config(const GgufFile& file);

}  // namespace headscope::model
