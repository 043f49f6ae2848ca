// Text to token ids and back, exactly as the checkpoint's own tokenizer does it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace headscope::model {

// Half-open byte range of the input text that a token came from; {0, 0} for added special tokens.
struct ByteSpan {
  int64_t begin = 0;
  int64_t end = 0;
};

struct Encoding {
  std::vector<int64_t> ids;
  std::vector<ByteSpan> offsets;  // one per id
};

struct EncodeOptions {
  bool add_special = true;    // what the post-processor adds (BOS, …)
  bool parse_special = true;  // special tokens written in the text become their id
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  [[nodiscard]] virtual Encoding encode(std::string_view text,
                                        const EncodeOptions& options = {}) const = 0;
  [[nodiscard]] virtual std::string decode(const std::vector<int64_t>& ids,
                                           bool skip_special = true) const = 0;
  [[nodiscard]] virtual int64_t vocab_size() const = 0;
  [[nodiscard]] virtual std::string kind() const = 0;  // "byte-level BPE", "SentencePiece BPE"
  [[nodiscard]] virtual std::optional<int64_t> id_of(std::string_view token) const = 0;
  [[nodiscard]] virtual std::optional<int64_t> bos_id() const = 0;
  [[nodiscard]] virtual std::optional<int64_t> eos_id() const = 0;
};

}  // namespace headscope::model
