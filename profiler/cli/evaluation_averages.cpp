#include "profiler/cli/evaluation_averages.h"

#include <map>
#include <numeric>
#include <utility>
#include <vector>

#include "profiler/cli/table_text.h"
#include "profiler/evaluation_settings.h"

namespace headscope::cli {
namespace {

constexpr const char* kMissing = "-";  // not measured on every task

using Rows = std::vector<const EvaluationRow*>;

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// One cell per method and size that every task has.
std::string table(const Rows& rows, int64_t context_length, const std::vector<double>& full) {
  using Place = std::pair<std::string, double>;
  std::vector<Place> places;  // in the order met
  std::map<Place, std::vector<double>> scores;
  for (const EvaluationRow* row : rows) {
    const Place place{row->method, row->retention};
    if (scores.count(place) == 0) places.push_back(place);
    scores[place].push_back(row->accuracy);
  }
  const double full_mean = mean_of(full);
  std::vector<SizeCell> cells;
  for (const Place& place : places) {
    const std::vector<double>& cell = scores[place];
    const double mean = mean_of(cell);
    const std::string share = full_mean > 0.0 ? " (" + percent(mean / full_mean) + ")" : "";
    cells.push_back({place.first, place.second, percent(place.second),
                     cell.size() == full.size() ? fixed(mean, 3) + share : kMissing});
  }
  return "### Average over " + std::to_string(full.size()) + " tasks, " +
         std::to_string(context_length) +
         " tokens\n\nMean score, and its share of the full cache's " + fixed(full_mean, 3) +
         ".\n\n" + size_table("kept", cells, kMissing) + "\n";
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
