// The tensors of a GGUF file under Hugging Face's names and in Hugging Face's layout, dequantised
// on load.
#pragma once

#include <memory>
#include <string>

#include "model/gguf.h"
#include "model/weights.h"

namespace headscope::model {

// "blk.3.attn_q.weight" -> "model.layers.3.self_attn.q_proj.weight". A name without a counterpart
// is returned as it is (check_weights then says that it is unexpected).
[[nodiscard]] std::string hf_name_of_gguf(const std::string& gguf_name);

// For architecture "llama" the rows of the query and key projections (and their biases) are stored
// permuted: within each head the two halves are interleaved. They are put back on reading.
// InputError for: an unsupported block type (naming the supported ones), rows that are no multiple
// of the block, byte ranges that overlap or pass the end of the file.
[[nodiscard]] std::unique_ptr<WeightSource> open_gguf_weights(std::shared_ptr<const GgufFile> file);

}  // namespace headscope::model
