// What a user pointed at, opened: configuration, tokenizer, decoder. Parts are opened only when
// asked for, so that a command needs only what it uses.
#pragma once

#include <memory>
#include <string>

#include "model/chat_template.h"
#include "model/config.h"
#include "model/decoder.h"
#include "model/tokenizer.h"
#include "model/weights.h"
#include "outputs/model_shape.h"

namespace headscope::model {

// A checkpoint whose headers were read and checked; weights and tokenizer stay closed.
class ModelSource {
 public:
  virtual ~ModelSource() = default;
  [[nodiscard]] virtual std::string name() const = 0;  // last part of the path or hub id
  [[nodiscard]] virtual std::string path() const = 0;
  [[nodiscard]] virtual const ModelConfig& config() const = 0;
  [[nodiscard]] virtual const WeightSource& weights() const = 0;
  [[nodiscard]] virtual std::unique_ptr<Tokenizer> open_tokenizer() const = 0;
  [[nodiscard]] virtual ChatTemplate chat_template() const = 0;
  [[nodiscard]] virtual std::string fingerprint() const = 0;
};

// MODEL of the command line: a Hugging Face directory, a GGUF file, or a hub id in the local cache
// (HF_HUB_CACHE, HF_HOME/hub, ~/.cache/huggingface/hub). InputError says what was looked for where.
[[nodiscard]] std::unique_ptr<ModelSource> open_model_source(const std::string& model);

// The tokenizer alone: needs no config and no weights beside it.
struct TokenizerFiles {
  std::unique_ptr<Tokenizer> tokenizer;
  ChatTemplate chat;
};
[[nodiscard]] TokenizerFiles open_tokenizer_of(const std::string& model);

[[nodiscard]] ModelIdentity identity_of(const ModelSource& source);

}  // namespace headscope::model
