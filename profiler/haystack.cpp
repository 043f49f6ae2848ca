#include "profiler/haystack.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "outputs/input_error.h"
#include "profiler/prose.h"

namespace headscope::profiler {
namespace {

namespace fs = std::filesystem;

std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file.is_open() || file.bad()) {
    throw InputError(path.string(), "a readable text file", "none");
  }
  if (text.starts_with("\xEF\xBB\xBF")) {
    text.erase(0, 3);  // a byte-order mark
  }
  const int64_t invalid = first_invalid_utf8(text);
  if (invalid >= 0) {
    throw InputError(path.string(), "text in UTF-8",
                     "another byte at offset " + std::to_string(invalid),
                     "Convert the file to UTF-8.");
  }
  return text;
}

std::vector<fs::path> text_files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (entry.is_regular_file() && entry.path().extension() == ".txt") {
      files.push_back(entry.path());
    }
  }
  if (error || files.empty()) {
    throw InputError(folder.string(), "a folder with *.txt files",
                     error ? error.message() : "none");
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

Haystack::Haystack(std::string text, std::string name)
    : text_(std::move(text)), name_(std::move(name)), sentences_(find_sentences(text_)) {}

Haystack Haystack::prose(uint64_t seed) {
  Haystack haystack("", "built-in prose, seed " + std::to_string(seed));
  haystack.next_block_ = [writer = ProseWriter(seed)]() mutable { return writer.next_paragraph(); };
  return haystack;
}

Haystack Haystack::generated(std::string name,
                             std::string joint,
                             std::function<std::string()> next_unit) {
  Haystack haystack("", std::move(name));
  haystack.joint_ = std::move(joint);
  haystack.next_block_ = std::move(next_unit);
  haystack.blocks_are_units_ = true;
  return haystack;
}

Haystack Haystack::read(const std::string& path) {
  std::error_code error;
  std::string text;
  if (fs::is_directory(path, error)) {
    for (const fs::path& file : text_files_in(path)) {
      text += (text.empty() ? "" : "\n\n") + read_text(file);
    }
  } else if (fs::is_regular_file(path, error)) {
    text = read_text(path);
  } else {
    throw InputError(path, "a text file or a folder with *.txt files", "none");
  }
  return from_text(std::move(text), path);
}

Haystack Haystack::from_text(std::string text, std::string name) {
  Haystack haystack(std::move(text), std::move(name));
  if (haystack.sentences_.empty()) {
    throw InputError(haystack.name_, "text", "nothing but whitespace");
  }
  return haystack;
}

void Haystack::grow(int64_t min_bytes) {
  while (can_grow() && static_cast<int64_t>(text_.size()) < min_bytes) {
    append(next_block_());
  }
}

void Haystack::append(const std::string& block) {
  // Paragraphs end where sentences end, so each can be cut by itself.
  text_ += text_.empty() ? "" : blocks_are_units_ ? joint_ : "\n\n";
  const auto start = static_cast<int64_t>(text_.size());
  const auto size = static_cast<int64_t>(block.size());
  const std::vector<model::ByteSpan> sentences =
      blocks_are_units_ ? std::vector<model::ByteSpan>{{0, size}} : find_sentences(block);
  for (const model::ByteSpan& span : sentences) {
    sentences_.push_back({start + span.begin, start + span.end});
  }
  text_ += block;
}

}  // namespace headscope::profiler
