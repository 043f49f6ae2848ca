// The tokenizer and the chat template that lie beside, or inside, a checkpoint.
#pragma once

#include <memory>
#include <string>

#include "model/chat_template.h"
#include "model/gguf.h"
#include "model/tokenizer.h"

namespace headscope::model {

// tokenizer.json (needed) and tokenizer_config.json (where present) of a directory.
[[nodiscard]] std::unique_ptr<Tokenizer> open_tokenizer_in(const std::string& directory);

// chat_template.jinja, else tokenizer_config.json's "chat_template" (a string, or a list of named
// templates of which "default" is taken); no text where there is neither.
[[nodiscard]] ChatTemplate read_chat_template_in(const std::string& directory);

// The same from the keys tokenizer.ggml.* and tokenizer.chat_template of a GGUF file.
[[nodiscard]] std::unique_ptr<Tokenizer> open_tokenizer_in(const GgufFile& file);
[[nodiscard]] ChatTemplate read_chat_template_in(const GgufFile& file);

}  // namespace headscope::model
