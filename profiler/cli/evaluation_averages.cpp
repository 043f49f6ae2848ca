#include "profiler/cli/evaluation_averages.h"

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <utility>
#include <vector>

#include "profiler/cli/table_text.h"
#include "profiler/evaluation_settings.h"

namespace headscope::cli {
namespace {

using Rows = std::vector<const EvaluationRow*>;

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

std::string table(const Rows& rows, int64_t context_length, const std::vector<double>& full) {
  std::map<double, std::string, std::greater<>> sizes;
  std::vector<std::string> methods;
  std::map<std::pair<std::string, double>, std::vector<double>> scores;
  for (const EvaluationRow* row : rows) {
    sizes.emplace(row->retention, percent(row->retention));
    if (std::find(methods.begin(), methods.end(), row->method) == methods.end()) {
      methods.push_back(row->method);
    }
    scores[{row->method, row->retention}].push_back(row->accuracy);
  }
  const double full_mean = mean_of(full);
  std::vector<std::string> head{"kept"};
  for (const auto& [size, label] : sizes) head.push_back(label);
  std::string text = "### Average over " + std::to_string(full.size()) + " tasks, " +
                     std::to_string(context_length) +
                     " tokens\n\nMean score, and its share of the full cache's " +
                     fixed(full_mean, 3) + ".\n\n" + markdown_head(head);
  for (const std::string& method : methods) {
    std::vector<std::string> line{method};
    for (const auto& [size, label] : sizes) {
      const std::vector<double>& cell = scores[{method, size}];
      if (cell.size() != full.size()) {
        line.emplace_back("-");
        continue;
      }
      const double mean = mean_of(cell);
      line.push_back(fixed(mean, 3) +
                     (full_mean > 0.0 ? " (" + percent(mean / full_mean) + ")" : ""));
    }
    text += markdown_line(line);
  }
  return text + "\n";
}

}  // namespace

std::string averages_markdown(const Evaluation& evaluation) {
  std::map<int64_t, Rows> compressed;
  std::map<int64_t, std::vector<double>> full;
  for (const EvaluationRow& row : evaluation.rows) {
    if (row.method == profiler::kFullCache) {
      full[row.context_length].push_back(row.accuracy);
    } else {
      compressed[row.context_length].push_back(&row);
    }
  }
  std::string text;
  for (const auto& [length, rows] : compressed) {
    if (full[length].size() > 1) text += table(rows, length, full[length]);
  }
  return text;
}

}  // namespace headscope::cli
