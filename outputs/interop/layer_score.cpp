#include "outputs/interop/layer_score.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "outputs/atomic_file.h"
#include "outputs/input_error.h"
#include "outputs/json_fields.h"

namespace headscope::outputs {
namespace {

constexpr const char* kAverageName = "avg_score";
constexpr double kSumTolerance = 1e-3;
constexpr double kAverageTolerance = 1e-4;

double sum_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

void add_task(const std::string& name, const JsonField& list, LayerScore& score) {
  std::vector<double> values;
  for (const JsonField& item : list.items()) {
    values.push_back(item.number());
    if (values.back() < 0.0) throw InputError(item.where(), "a number >= 0", item.describe());
  }
  const auto length = static_cast<int64_t>(values.size());
  if (score.num_layers == 0) score.num_layers = length;
  if (length == 0 || length != score.num_layers) {
    throw InputError(list.where(),
                     score.num_layers == 0 ? "at least one layer"
                                           : std::to_string(score.num_layers) +
                                                 " numbers, one per layer as in the others",
                     std::to_string(length));
  }
  if (std::abs(sum_of(values) - 1.0) > kSumTolerance) {
    score.warnings.push_back("'" + name + "' sums to " + std::to_string(sum_of(values)) +
                             ", not to 1");
  }
  std::vector<double>& kept = name == kAverageName ? score.average : score.tasks[name];
  if (!kept.empty()) score.warnings.push_back("'" + name + "' is given twice: the last one counts");
  kept = std::move(values);
}

void add_object(const std::string& text, const std::string& where, LayerScore& score) {
  const nlohmann::json parsed = parse_json(text, where);
  for (const auto& [name, list] : JsonField(parsed, where).members()) add_task(name, list, score);
}

// One object per line, when the first line is an object by itself.
std::vector<std::string> split_lines(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    if (line.find_first_not_of(" \t\r") != std::string::npos) lines.push_back(line);
    begin = end + 1;
  }
  return lines;
}

std::vector<double> mean_of_tasks(const LayerScore& score) {
  std::vector<double> mean(static_cast<size_t>(score.num_layers), 0.0);
  for (const auto& [name, values] : score.tasks) {
    for (size_t layer = 0; layer < mean.size(); ++layer) mean[layer] += values[layer];
  }
  const double total = sum_of(mean);
  for (double& value : mean) value = total > 0.0 ? value / total : 0.0;
  return mean;
}

void settle_average(LayerScore& score) {
  if (score.tasks.empty()) return;
  const std::vector<double> mean = mean_of_tasks(score);
  if (score.average.empty()) {
    score.average = mean;
    return;
  }
  double worst = 0.0;
  for (size_t i = 0; i < mean.size(); ++i) {
    worst = std::max(worst, std::abs(mean[i] - score.average[i]));
  }
  if (worst > kAverageTolerance) {
    score.warnings.push_back("avg_score is not the normalised mean of the data sets (off by " +
                             std::to_string(worst) + ")");
  }
}

}  // namespace

LayerScore read_layer_score(const std::filesystem::path& path) {
  const std::string text = read_file(path);
  const std::vector<std::string> lines = split_lines(text);
  LayerScore score;
  const bool one_per_line = lines.size() > 1 && nlohmann::json::accept(lines.front());
  if (one_per_line) {
    for (size_t i = 0; i < lines.size(); ++i) {
      add_object(lines[i], path.string() + ": line " + std::to_string(i + 1), score);
    }
  } else {
    add_object(text, path.string(), score);
  }
  if (score.num_layers == 0) throw InputError(path.string(), "at least one data set", "none");
  settle_average(score);
  return score;
}

}  // namespace headscope::outputs
