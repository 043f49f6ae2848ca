// ModelConfig from a Hugging Face config.json (and generation_config.json).
#pragma once

#include <string>

#include "model/config.h"

namespace headscope::model {

// The rules and defaults are those of transformers 5.2
// (configuration_{llama,mistral,qwen2,qwen3}.py, modeling_rope_utils.py), except that the sizes of
// the model are never defaulted. `where` names the file in messages. InputError for: invalid JSON,
// an unsupported model_type (naming the supported ones), an unsupported rope type, activation or
// quantisation, and everything check_config refuses.
[[nodiscard]] ModelConfig parse_hf_config(const std::string& json, const std::string& where);

// Reads <directory>/config.json; end-of-sequence ids come from generation_config.json where
// present.
[[nodiscard]] ModelConfig read_hf_config(const std::string& directory);

}  // namespace headscope::model
