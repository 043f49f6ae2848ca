// The text of a prompt, every token coloured by how often it was kept.
#pragma once

#include <filesystem>

#include "outputs/retained_tokens.h"

namespace headscope::outputs {

// Writes PNG or SVG by the extension of `path`. The darker a token's ground, the more KV heads of
// all layers kept it; tokens of the answer are outlined, and a strip at the side tells the answer's
// recall layer by layer. InputError where the tokens have no text (a file made with --tokens), and
// for other extensions.
void write_retained_picture(const RetainedTokens& retained,
                            const std::filesystem::path& path,
                            bool overwrite);

}  // namespace headscope::outputs
