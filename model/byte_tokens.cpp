#include "model/byte_tokens.h"

#include <charconv>

namespace headscope::model {

std::vector<int64_t> byte_token_ids(const Vocabulary& vocabulary) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::vector<int64_t> ids;
  for (size_t byte = 0; byte < 256; ++byte) {
    const std::string token = std::string("<0x") + kDigits[byte / 16] + kDigits[byte % 16] + ">";
    ids.push_back(vocabulary.id_of(token).value_or(-1));
  }
  return ids;
}

std::optional<char> byte_of_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return std::nullopt;
  unsigned value = 0;
  const auto [end, error] = std::from_chars(token.data() + 3, token.data() + 5, value, 16);
  if (error != std::errc{} || end != token.data() + 5) return std::nullopt;
  return static_cast<char>(value);
}

}  // namespace headscope::model
