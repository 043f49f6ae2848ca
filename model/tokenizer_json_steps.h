// The entries of a tokenizer.json that say how text is handled, read into
// steps.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "model/pipeline_tokenizer.h"

namespace headscope::model {

// An entry of a JSON file and the way to it, for messages: "tokenizer.json:
// model.merges[3]".
struct JsonEntry {
  const nlohmann::json* value;
  std::string where;

  // The member `key`. InputError where this is no object or lacks it.
  [[nodiscard]] JsonEntry at(const std::string& key) const;
  [[nodiscard]] bool has(const std::string& key) const;  // present and not null
  [[nodiscard]] std::vector<JsonEntry> elements() const;

  // The value as what it must be. InputError says what was found instead.
  [[nodiscard]] const std::string& text() const;
  [[nodiscard]] bool flag(const std::string& key,
                          bool otherwise) const;  // of a member
  [[nodiscard]] int64_t integer() const;
  [[noreturn]] void refuse(const std::string& expected) const;
};

// What the steps mean for the tokenizer as a whole.
struct PreTokenizer {
  std::vector<PreTokenizeStep> steps;
  bool byte_level = false;
};

// Each takes the entry, or null for none.
[[nodiscard]] std::vector<NormalizeStep> read_normalizer(const JsonEntry& entry);
[[nodiscard]] PreTokenizer read_pre_tokenizer(const JsonEntry& entry);
[[nodiscard]] PostProcessing read_post_processor(const JsonEntry& entry);
[[nodiscard]] std::vector<DecodeStep> read_decoder(const JsonEntry& entry);

}  // namespace headscope::model
