// The tokenizer that a GGUF file carries in its keys (`tokenizer.ggml.*`): byte-level BPE by merges
// (model `gpt2`) or SentencePiece BPE by scores (model `llama`).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/tokenizer.h"

namespace headscope::model {

// What the keys say, unchanged; a key that the file does not have stays empty.
struct GgufTokenizerData {
  std::string source;                    // the file, for messages
  std::string model;                     // tokenizer.ggml.model: "gpt2" or "llama"
  std::string pre;                       // .pre: "smollm", "llama-bpe", "qwen2", "gpt-2", "default"
  std::vector<std::string> tokens;       // .tokens, one per id
  std::vector<float> scores;             // .scores, one per id; needed by "llama"
  std::vector<int32_t> token_types;      // .token_type, one per id: 1 normal, 2 unknown, 3 control,
                                         // 4 user-defined, 5 unused, 6 byte; empty = all normal
  std::vector<std::string> merges;       // .merges, "left right", best first; needed by "gpt2"
  std::optional<bool> add_bos;           // .add_bos_token
  std::optional<bool> add_eos;           // .add_eos_token
  std::optional<bool> add_space_prefix;  // .add_space_prefix
  std::optional<int64_t> bos_id;         // .bos_token_id
  std::optional<int64_t> eos_id;         // .eos_token_id
  std::optional<int64_t> unknown_id;     // .unknown_token_id
};

// InputError names the key and what is supported.
[[nodiscard]] std::unique_ptr<Tokenizer> tokenizer_from_gguf(const GgufTokenizerData& data);

}  // namespace headscope::model
