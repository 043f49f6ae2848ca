// Tokenizer files small enough to work out by hand, written to a temporary folder.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "model/tokenizer_json.h"
#include "tests/support/scratch_folder.h"

namespace headscope::testing {

inline std::unique_ptr<model::Tokenizer> open_text(const std::string& text) {
  const ScratchFolder folder;
  return model::tokenizer_from_json(folder.write("tokenizer.json", text));
}

inline std::unique_ptr<model::Tokenizer> open_json(const nlohmann::json& file) {
  return open_text(file.dump());
}

inline nlohmann::json vocabulary_of(const std::vector<std::string>& tokens) {
  nlohmann::json vocabulary = nlohmann::json::object();
  for (const std::string& token : tokens) vocabulary[token] = vocabulary.size();
  return vocabulary;
}

inline nlohmann::json added_token(const std::string& content, int64_t id, bool special = true) {
  return {{"id", id},        {"content", content},   {"special", special}, {"lstrip", false},
          {"rstrip", false}, {"single_word", false}, {"normalized", false}};
}

// Byte level: a, b, c, blank, the two bytes of é (Ã ©), merges to "ab", " a" and " ab".
inline nlohmann::json byte_level_file() {
  return {{"model",
           {{"type", "BPE"},
            {"vocab", vocabulary_of({"a", "b", "c", "\u0120", "\u00c3", "\u00a9", "ab", "\u0120a",
                                     "\u0120ab", "1"})},
            {"merges", {"a b", "\u0120 a", "\u0120 ab"}}}},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
          {"decoder", {{"type", "ByteLevel"}}},
          {"added_tokens", {added_token("<end>", 10)}}};
}

// SentencePiece: <unk>, <s>, the three bytes of 你, then ▁, a, b, ab, ▁ab.
inline nlohmann::json sentencepiece_file() {
  const std::string blank = "\u2581";
  return {{"model",
           {{"type", "BPE"},
            {"unk_token", "<unk>"},
            {"fuse_unk", true},
            {"byte_fallback", true},
            {"vocab", vocabulary_of({"<unk>", "<s>", "<0xE4>", "<0xBD>", "<0xA0>", blank, "a", "b",
                                     "ab", blank + "ab"})},
            {"merges", {"a b", blank + " ab"}}}},
          {"normalizer",
           {{"type", "Sequence"},
            {"normalizers",
             {{{"type", "Prepend"}, {"prepend", blank}},
              {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", blank}}}}}},
          {"post_processor",
           {{"type", "TemplateProcessing"},
            {"single", {{{"SpecialToken", {{"id", "<s>"}}}}, {{"Sequence", {{"id", "A"}}}}}},
            {"special_tokens", {{"<s>", {{"id", "<s>"}, {"ids", {1}}}}}}}},
          {"decoder",
           {{"type", "Sequence"},
            {"decoders",
             {{{"type", "Replace"}, {"pattern", {{"String", blank}}}, {"content", " "}},
              {{"type", "ByteFallback"}},
              {{"type", "Fuse"}},
              {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}}},
          {"added_tokens", {added_token("<unk>", 0), added_token("<s>", 1)}}};
}

}  // namespace headscope::testing
