// Finds a Hugging Face hub id in the local cache. Nothing is ever downloaded.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace headscope::model {

// "owner/name" or "name", in the characters that the hub allows.
[[nodiscard]] bool looks_like_hub_id(const std::string& text);

// Cache directories in the order they are looked in: $HF_HUB_CACHE, $HF_HOME/hub,
// $XDG_CACHE_HOME/huggingface/hub, ~/.cache/huggingface/hub; the unset ones left out.
[[nodiscard]] std::vector<std::string> hub_cache_directories();

// The snapshot that refs/main names (or the only one there is). InputError lists the directories
// looked in and the command that fetches the model.
[[nodiscard]] std::string find_cached_snapshot(const std::string& hub_id);

}  // namespace headscope::model
