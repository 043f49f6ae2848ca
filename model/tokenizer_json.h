// Opens a Hugging Face `tokenizer.json`: byte-level BPE (GPT-2, Llama-3, Qwen, SmolLM) and
// SentencePiece-style BPE (Llama-2, Mistral), by the file's own normalizer, pre-tokenizer, merges,
// post-processor and decoder. `truncation` and `padding` entries are ignored: a profiler that
// silently cuts its prompts would measure something else.
#pragma once

#include <memory>
#include <string>

#include "model/tokenizer.h"

namespace headscope::model {

// tokenizer_config_path may be empty; of that file the entries bos_token, eos_token, add_bos_token
// and add_eos_token are used. InputError names the file, the entry and what is supported where a
// file cannot be read or asks for something else than the above.
[[nodiscard]] std::unique_ptr<Tokenizer> tokenizer_from_json(
    const std::string& tokenizer_json_path, const std::string& tokenizer_config_path = "");

}  // namespace headscope::model
