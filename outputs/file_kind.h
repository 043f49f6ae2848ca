// What is this file? Answered from its content, not its name.
#pragma once

#include <filesystem>
#include <string>

namespace headscope::outputs {

enum class FileKind {
  kUnknown,
  kModel,            // GGUF, safetensors, or a folder with a config.json
  kProfile,          // ours
  kPlan,             // ours, JSON or HDF5
  kEvaluation,       // ours, JSON or HDF5
  kTrace,            // ours: what `trace` watched
  kRetained,         // ours: what `generate --save-retained` kept
  kRetrievalScores,  // "layer-head" -> trials, of the Retrieval_Head family
  kHeadOrder,        // layer -> query heads, best first (CompressKV)
  kLayerScore,       // data set -> one error per layer (CompressKV)
  kDuoPattern,       // DuoAttention's full_attention_heads.tsv
  kTorchPickle,      // a .pt archive; never opened, since reading one can run code
};

struct FileDescription {
  FileKind kind = FileKind::kUnknown;
  std::string format_version;  // of our own formats; else empty
  std::string detail;          // "HDF5", "JSON", "GGUF", …
};

// Throws InputError when there is nothing at `path` or it cannot be read. A file of one of our
// formats in a version that cannot be read is still named.
[[nodiscard]] FileDescription describe_file(const std::filesystem::path& path);

// "profile", "plan", "evaluation", "trace", "retained", "model", "retrieval_scores", "head_order",
// "layer_score", "duo_pattern", "torch_pickle", "unknown".
[[nodiscard]] std::string kind_name(FileKind kind);

}  // namespace headscope::outputs
