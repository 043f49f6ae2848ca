// The nouns that every folder shares: how many layers and heads a decoder has, and how query heads
// share KV heads.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

namespace headscope {

// One query head. `head` counts query heads within the layer, from 0.
struct HeadId {
  int64_t layer = 0;
  int64_t head = 0;
  auto operator<=>(const HeadId&) const = default;
};

// "21-8", as the Retrieval_Head family of files spells heads: layer, then query head.
[[nodiscard]] inline std::string head_name(const HeadId& id) {
  return std::to_string(id.layer) + "-" + std::to_string(id.head);
}

// One KV head: a distinct type, so that it cannot be passed where a query head is meant.
struct KvHeadId {
  int64_t layer = 0;
  int64_t kv_head = 0;
  auto operator<=>(const KvHeadId&) const = default;
};

struct ModelShape {
  std::string architecture;  // "llama", "mistral", "qwen2", "qwen3"
  int64_t num_layers = 0;
  int64_t num_query_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t hidden_size = 0;
  int64_t vocab_size = 0;
  int64_t max_positions = 0;  // the longest sequence the model was made for, tokens

  // Per layer: 0 = full attention, else the number of most recent tokens a query sees.
  std::vector<int64_t> attention_window;

  // Query heads per KV head. Query head h reads KV head h / query_group_size().
  [[nodiscard]] int64_t query_group_size() const { return num_query_heads / num_kv_heads; }
  [[nodiscard]] int64_t kv_head_of(int64_t query_head) const {
    return query_head / query_group_size();
  }
  [[nodiscard]] bool has_full_attention(int64_t layer) const {
    return attention_window.empty() || attention_window[static_cast<size_t>(layer)] == 0;
  }
  // Keys and values of one token in all layers, in bytes.
  [[nodiscard]] int64_t kv_bytes_per_token(int64_t bytes_per_element) const {
    return 2 * num_layers * num_kv_heads * head_dim * bytes_per_element;
  }
  bool operator==(const ModelShape&) const = default;
};

// Which model a file was made from.
struct ModelIdentity {
  std::string name;         // what the user called it (last part of the path or hub id)
  std::string fingerprint;  // SHA-256 in hex; docs/file_formats.md says over what
  ModelShape shape;
};

}  // namespace headscope
