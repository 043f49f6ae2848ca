// Tokens for single bytes, written <0x00> … <0xFF> in SentencePiece
// vocabularies.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "model/subword_model.h"

namespace headscope::model {

// 256 ids; -1 where the vocabulary lacks the byte.
[[nodiscard]] std::vector<int64_t> byte_token_ids(const Vocabulary& vocabulary);
[[nodiscard]] std::optional<char> byte_of_token(std::string_view token);  // either case of digits

}  // namespace headscope::model
