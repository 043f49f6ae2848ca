#include "outputs/interop/retrieval_scores.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "outputs/atomic_file.h"
#include "outputs/input_error.h"
#include "outputs/json_fields.h"
#include "outputs/model_shape.h"

namespace headscope::outputs {
namespace {

// Above any model; keeps the arithmetic on them from overflowing.
constexpr int64_t kMostHeads = 1 << 20;

// "12-7" -> layer 12, head 7.
std::optional<HeadId> parse_key(const std::string& key) {
  HeadId id;
  const char* const end = key.data() + key.size();
  const auto layer = std::from_chars(key.data(), end, id.layer);
  if (layer.ec != std::errc() || layer.ptr == end || *layer.ptr != '-') return std::nullopt;
  const auto head = std::from_chars(layer.ptr + 1, end, id.head);
  if (head.ec != std::errc() || head.ptr != end) return std::nullopt;
  if (id.layer < 0 || id.head < 0 || id.layer >= kMostHeads || id.head >= kMostHeads) {
    return std::nullopt;
  }
  // "00-1" would stand beside "0-1".
  if (head_name(id) != key) return std::nullopt;
  return id;
}

std::map<HeadId, std::vector<float>> read_trials(const JsonField& root) {
  std::map<HeadId, std::vector<float>> trials;
  for (const auto& [key, list] : root.members()) {
    const std::optional<HeadId> id = parse_key(key);
    if (!id) throw InputError(root.where(), "keys \"layer-head\"", "'" + key + "'");
    std::vector<float>& values = trials[*id];
    for (const JsonField& value : list.items()) {
      values.push_back(static_cast<float>(value.number()));
      if (!std::isfinite(values.back())) {
        throw InputError(value.where(), "a number that float32 holds", value.describe());
      }
    }
  }
  if (trials.empty()) throw InputError(root.where(), "at least one head", "none");
  return trials;
}

void check_complete(const std::map<HeadId, std::vector<float>>& trials,
                    const RetrievalScores& scores,
                    const std::string& where) {
  for (int64_t layer = 0; layer < scores.num_layers; ++layer) {
    for (int64_t head = 0; head < scores.num_query_heads; ++head) {
      const HeadId id{layer, head};
      const auto found = trials.find(id);
      const std::string key = head_name(id);
      if (found == trials.end()) throw InputError(where, "a head '" + key + "'", "none");
      const auto length = static_cast<int64_t>(found->second.size());
      if (length != scores.num_trials) {
        throw InputError(where + ": " + key,
                         std::to_string(scores.num_trials) + " trials, as for 0-0",
                         std::to_string(length));
      }
    }
  }
}

void count_trials(RetrievalScores& scores) {
  const auto heads = static_cast<size_t>(scores.num_layers * scores.num_query_heads);
  std::set<std::vector<float>> distinct;
  int64_t all_zero = 0;
  for (size_t begin = 0; begin < scores.samples.size(); begin += heads) {
    const auto first = scores.samples.begin() + static_cast<std::ptrdiff_t>(begin);
    const std::vector<float> trial(first, first + static_cast<std::ptrdiff_t>(heads));
    if (std::all_of(trial.begin(), trial.end(), [](float value) { return value == 0.0F; })) {
      ++all_zero;
    }
    distinct.insert(trial);
  }
  scores.num_distinct_trials = static_cast<int64_t>(distinct.size());
  if (scores.num_distinct_trials < scores.num_trials) {
    scores.warnings.push_back("only " + std::to_string(scores.num_distinct_trials) + " of " +
                              std::to_string(scores.num_trials) +
                              " trials differ: the effective sample is smaller than it looks");
  }
  if (all_zero > 0) {
    scores.warnings.push_back(std::to_string(all_zero) + " trials are zero for every head");
  }
}

void warn_of_range(RetrievalScores& scores) {
  const auto outside = std::count_if(scores.samples.begin(), scores.samples.end(),
                                     [](float value) { return value < 0.0F || value > 1.0F; });
  if (outside == 0) return;
  const auto [low, high] = std::minmax_element(scores.samples.begin(), scores.samples.end());
  scores.warnings.push_back(std::to_string(outside) + " values lie outside 0..1 (" +
                            std::to_string(*low) + " to " + std::to_string(*high) + ")");
}

}  // namespace

RetrievalScores read_retrieval_scores(const std::filesystem::path& path) {
  const nlohmann::json parsed = parse_json(read_file(path), path.string());
  const auto trials = read_trials(JsonField(parsed, path.string()));
  RetrievalScores scores;
  for (const auto& [id, values] : trials) {
    scores.num_layers = std::max(scores.num_layers, id.layer + 1);
    scores.num_query_heads = std::max(scores.num_query_heads, id.head + 1);
  }
  // Before anything is sized by the numbers in the keys: they must be as many as there are lists.
  const auto lists = static_cast<int64_t>(trials.size());
  if (scores.num_layers > lists || scores.num_query_heads > lists ||
      scores.num_layers * scores.num_query_heads != lists) {
    throw InputError(path.string(),
                     "every head of " + std::to_string(scores.num_layers) + " layers and " +
                         std::to_string(scores.num_query_heads) + " heads",
                     std::to_string(lists) + " heads");
  }
  scores.num_trials = static_cast<int64_t>(trials.begin()->second.size());
  check_complete(trials, scores, path.string());
  if (scores.num_trials == 0) {
    throw InputError(path.string(), "at least one trial per head", "none");
  }
  scores.mean = HeadMatrix(scores.num_layers, scores.num_query_heads);
  const auto heads = static_cast<size_t>(lists);
  scores.samples.resize(heads * static_cast<size_t>(scores.num_trials));
  size_t index = 0;
  for (const auto& [id, values] : trials) {  // in order of layer, then head
    double sum = 0.0;
    for (size_t trial = 0; trial < values.size(); ++trial) {
      scores.samples[trial * heads + index] = values[trial];
      sum += static_cast<double>(values[trial]);
    }
    scores.mean.values[index++] = sum / static_cast<double>(scores.num_trials);
  }
  count_trials(scores);
  warn_of_range(scores);
  return scores;
}

}  // namespace headscope::outputs
