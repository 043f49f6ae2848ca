// Safetensors files: an 8-byte little-endian header length, a JSON header, the tensors' bytes.
// Format: https://github.com/huggingface/safetensors. Every number in the header is checked against
// the file before it is used.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "model/mapped_file.h"
#include "model/weights.h"

namespace headscope::model {

struct SafetensorsEntry {
  std::string name;
  std::string dtype;  // as the header spells it: "F32", "BF16", …
  std::vector<int64_t> dims;
  uint64_t begin = 0;  // bytes, from the start of the file
  uint64_t end = 0;
};

// The header's tensors, in the order of their bytes. InputError for: a file shorter than its
// header, a header above 100 MB, invalid JSON, a name given twice, an unknown dtype, dims whose
// product overflows or disagrees with the byte range, ranges that overlap, leave a hole, or do not
// end where the file ends.
[[nodiscard]] std::vector<SafetensorsEntry> read_safetensors_header(const MappedFile& file);

// Weights of a Hugging Face directory: model.safetensors.index.json with its shards, or
// model.safetensors, or model-*.safetensors without an index.
[[nodiscard]] std::unique_ptr<WeightSource> open_safetensors(const std::string& directory);

}  // namespace headscope::model
