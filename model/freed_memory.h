// Memory between passes.
#pragma once

namespace headscope::model {

// For a program that reads prompts one after another: what a pass frees is kept for the next one,
// up to 64 MiB per thread, in place of going back to the system and coming again page by page.
// These are the bounds that the GNU C library's own rule ends at (mallopt(3), M_MMAP_THRESHOLD); it
// gets there only by chance. SmolLM2's prefill is 4 to 10 % faster. Changes the whole process;
// nothing happens with other C libraries.
void keep_freed_memory();

}  // namespace headscope::model
