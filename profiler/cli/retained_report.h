// What `generate` and `heatmap` tell of the tokens that a cache kept.
#pragma once

#include <string>
#include <vector>

#include "model/tokenizer.h"
#include "outputs/retained_tokens.h"
#include "runtime/compressor.h"

namespace headscope::cli {

// What the cache kept of the prompt, told apart from what came after it. `tokenizer` may be null:
// the tokens then have no text, and no answer can be found.
[[nodiscard]] outputs::RetainedTokens collect_retained(const runtime::CompressingKvCache& cache,
                                                       const std::vector<int64_t>& prompt,
                                                       const model::Tokenizer* tokenizer,
                                                       const std::string& answer);

// "answer kept by layer: 0: 33 % …", and the mean. To be called where an answer is known.
[[nodiscard]] std::string recall_text(const outputs::RetainedTokens& retained);

}  // namespace headscope::cli
