// Which tokens of a prompt a compressed cache kept: what `generate --save-retained` writes, to look
// at and to measure how much of an answer survived.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace headscope::outputs {

inline constexpr const char* kRetainedFormat = "headscope.retained";

struct RetainedTokens {
  std::string model;   // its name
  std::string method;  // eviction method; empty in files of version 1.0
  std::vector<int64_t> prompt_ids;
  std::vector<std::string> pieces;  // text of each token; empty where no tokenizer was open
  // Positions in the prompt that each KV head kept, ascending: [num_layers][num_kv_heads].
  std::vector<std::vector<std::vector<int64_t>>> kept;
  std::vector<int64_t> answer_positions;  // where the answer stands in the prompt; may be empty

  [[nodiscard]] int64_t num_tokens() const { return static_cast<int64_t>(prompt_ids.size()); }
};

// Tokens that hold a part of an occurrence of `answer` in the text of the pieces, ascending; none
// for an empty answer or one that does not occur. Spaces around the answer do not count.
[[nodiscard]] std::vector<int64_t> find_answer(const std::vector<std::string>& pieces,
                                               const std::string& answer);

// Per layer the share of the answer's tokens that were kept, mean over KV heads: [num_layers], NaN
// where no answer is known.
[[nodiscard]] std::vector<double> answer_recall(const RetainedTokens& retained);

// Per token the share of all KV heads of all layers that kept it: [num_tokens], 0..1.
[[nodiscard]] std::vector<double> kept_share(const RetainedTokens& retained);

// HDF5 (docs/file_formats.md). InputError as Hdf5Writer and Hdf5Reader, and for positions that are
// not ascending or lie outside the prompt.
void write_retained(const RetainedTokens& retained,
                    const std::filesystem::path& path,
                    bool overwrite);
[[nodiscard]] RetainedTokens read_retained(const std::filesystem::path& path);

}  // namespace headscope::outputs
