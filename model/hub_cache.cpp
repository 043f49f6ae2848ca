#include "model/hub_cache.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>

#include "outputs/input_error.h"

namespace headscope::model {
namespace {

namespace fs = std::filesystem;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// A file name and nothing else: refs/main is read from disk and becomes part of a path.
bool is_commit(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(),
                                      [](unsigned char c) { return std::isxdigit(c) != 0; });
}

std::optional<fs::path> snapshot_in(const fs::path& repository) {
  std::ifstream stream(repository / "refs" / "main");
  std::string commit;
  if (stream >> commit && is_commit(commit) &&
      fs::is_directory(repository / "snapshots" / commit)) {
    return repository / "snapshots" / commit;
  }
  if (!fs::is_directory(repository / "snapshots")) return std::nullopt;
  std::vector<fs::path> snapshots;
  for (const fs::directory_entry& entry : fs::directory_iterator(repository / "snapshots")) {
    if (entry.is_directory()) snapshots.push_back(entry.path());
  }
  return snapshots.size() == 1 ? std::optional(snapshots.front()) : std::nullopt;
}

}  // namespace

bool looks_like_hub_id(const std::string& text) {
  static const std::regex kId(
      R"([A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?)");
  return std::regex_match(text, kId) && !text.ends_with(".gguf");
}

std::vector<std::string> hub_cache_directories() {
  std::vector<std::string> directories;
  const auto add = [&](const std::string& base, const char* below) {
    if (!base.empty()) directories.push_back(base + below);
  };
  add(environment("HF_HUB_CACHE"), "");
  add(environment("HF_HOME"), "/hub");
  add(environment("XDG_CACHE_HOME"), "/huggingface/hub");
  add(environment("HOME"), "/.cache/huggingface/hub");
  return directories;
}

std::string find_cached_snapshot(const std::string& hub_id) {
  std::string folder = "models--" + hub_id;
  if (const size_t slash = folder.find('/'); slash != std::string::npos) {
    folder.replace(slash, 1, "--");
  }
  std::string looked;
  for (const std::string& directory : hub_cache_directories()) {
    if (const auto snapshot = snapshot_in(fs::path(directory) / folder)) return snapshot->string();
    looked += (looked.empty() ? "" : ", ") + directory;
  }
  throw InputError(
      hub_id, "a directory, a .gguf file, or a hub id in the local cache",
      "no such path, and no " + folder + " in " + (looked.empty() ? "any cache" : looked),
      "To download it: hf download " + hub_id);
}

}  // namespace headscope::model
