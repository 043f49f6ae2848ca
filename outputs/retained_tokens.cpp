#include "outputs/retained_tokens.h"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <span>

#include "outputs/file_header.h"
#include "outputs/hdf5_file.h"
#include "outputs/input_error.h"

namespace headscope::outputs {
namespace {

std::string numbered(const char* word, size_t number) {
  char text[40];
  std::snprintf(text, sizeof text, "%s_%02zu", word, number);
  return text;
}

int64_t length_of(const std::vector<int64_t>& values) {
  return static_cast<int64_t>(values.size());
}

void check_positions(const std::string& place,
                     const std::vector<int64_t>& positions,
                     int64_t num_tokens) {
  int64_t before = -1;
  for (const int64_t position : positions) {
    if (position <= before || position >= num_tokens) {
      throw InputError(place,
                       "ascending positions below the prompt's " + std::to_string(num_tokens),
                       std::to_string(position) + " after " + std::to_string(before));
    }
    before = position;
  }
}

std::vector<int64_t> read_positions(const Hdf5Reader& file,
                                    const std::string& name,
                                    int64_t num_tokens) {
  std::vector<int64_t> positions = file.read<int64_t>(name, {-1});
  check_positions(dataset_place(file.path(), name), positions, num_tokens);
  return positions;
}

}  // namespace

std::vector<int64_t> find_answer(const std::vector<std::string>& pieces,
                                 const std::string& answer) {
  const size_t first = answer.find_first_not_of(" \t\r\n");
  if (first == std::string::npos) return {};
  const std::string wanted = answer.substr(first, answer.find_last_not_of(" \t\r\n") + 1 - first);
  std::string text;
  std::vector<size_t> begins;
  for (const std::string& piece : pieces) {
    begins.push_back(text.size());
    text += piece;
  }
  begins.push_back(text.size());
  std::vector<int64_t> positions;
  for (size_t at = text.find(wanted); at != std::string::npos;
       at = text.find(wanted, at + wanted.size())) {
    for (size_t i = 0; i < pieces.size(); ++i) {
      if (begins[i] < at + wanted.size() && begins[i + 1] > at) {
        positions.push_back(static_cast<int64_t>(i));
      }
    }
  }
  positions.erase(std::unique(positions.begin(), positions.end()), positions.end());
  return positions;
}

std::vector<double> answer_recall(const RetainedTokens& retained) {
  std::vector<double> recall;
  for (const auto& layer : retained.kept) {
    int64_t found = 0;
    for (const std::vector<int64_t>& head : layer) {
      for (const int64_t position : retained.answer_positions) {
        found += std::binary_search(head.begin(), head.end(), position) ? 1 : 0;
      }
    }
    const size_t all = retained.answer_positions.size() * layer.size();
    recall.push_back(all == 0 ? std::numeric_limits<double>::quiet_NaN()
                              : static_cast<double>(found) / static_cast<double>(all));
  }
  return recall;
}

std::vector<double> kept_share(const RetainedTokens& retained) {
  std::vector<double> share(retained.prompt_ids.size(), 0.0);
  size_t heads = 0;
  for (const auto& layer : retained.kept) {
    heads += layer.size();
    for (const std::vector<int64_t>& head : layer) {
      for (const int64_t position : head) share[static_cast<size_t>(position)] += 1.0;
    }
  }
  for (double& value : share) value /= static_cast<double>(std::max<size_t>(1, heads));
  return share;
}

void write_retained(const RetainedTokens& retained,
                    const std::filesystem::path& path,
                    bool overwrite) {
  Hdf5Writer file(path, overwrite);
  file.attribute("", "format", kRetainedFormat);
  file.attribute("", "format_version", "1.1");
  file.attribute("", "model", retained.model);
  file.attribute("", "method", retained.method);
  file.dataset("prompt_ids", std::span<const int64_t>(retained.prompt_ids),
               {retained.num_tokens()});
  if (!retained.pieces.empty()) {
    file.dataset("prompt_pieces", std::span<const std::string>(retained.pieces));
  }
  file.dataset("answer_positions", std::span<const int64_t>(retained.answer_positions),
               {length_of(retained.answer_positions)});
  for (size_t layer = 0; layer < retained.kept.size(); ++layer) {
    for (size_t head = 0; head < retained.kept[layer].size(); ++head) {
      const std::vector<int64_t>& kept = retained.kept[layer][head];
      file.dataset(numbered("layer", layer) + "/" + numbered("kv_head", head),
                   std::span<const int64_t>(kept), {length_of(kept)});
    }
  }
  file.commit();
}

RetainedTokens read_retained(const std::filesystem::path& path) {
  const Hdf5Reader file(path);
  check_file_header(file.path(), file.string_attribute("/", "format"),
                    file.string_attribute("/", "format_version"), kRetainedFormat);
  RetainedTokens retained;
  if (file.has_attribute("/", "model")) retained.model = file.string_attribute("/", "model");
  if (file.has_attribute("/", "method")) retained.method = file.string_attribute("/", "method");
  retained.prompt_ids = file.read<int64_t>("prompt_ids", {-1});
  if (file.has("prompt_pieces")) {
    retained.pieces = file.read<std::string>("prompt_pieces", {retained.num_tokens()});
  }
  if (file.has("answer_positions")) {
    retained.answer_positions = read_positions(file, "answer_positions", retained.num_tokens());
  }
  for (size_t layer = 0; file.has(numbered("layer", layer)); ++layer) {
    std::vector<std::vector<int64_t>> heads;
    const std::string group = numbered("layer", layer) + "/";
    for (size_t head = 0; file.has(group + numbered("kv_head", head)); ++head) {
      heads.push_back(
          read_positions(file, group + numbered("kv_head", head), retained.num_tokens()));
    }
    retained.kept.push_back(std::move(heads));
  }
  if (retained.kept.empty()) {
    throw InputError(dataset_place(file.path(), numbered("layer", 0)), "kept positions per KV head",
                     "nothing");
  }
  return retained;
}

}  // namespace headscope::outputs
