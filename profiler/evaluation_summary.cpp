#include "profiler/evaluation_summary.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <tuple>

#include "analysis/quantile.h"

namespace headscope::profiler {
namespace {

// Of what was measured; NaN where nothing was.
double median_of(const std::vector<const EvaluationSample*>& samples, double AnswerCost::*field) {
  std::vector<double> values;
  for (const EvaluationSample* sample : samples) {
    if (!std::isnan(sample->cost.*field)) values.push_back(sample->cost.*field);
  }
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  std::sort(values.begin(), values.end());
  return analysis::quantile(values, 0.5);
}

AnswerCost median_cost(const std::vector<const EvaluationSample*>& samples) {
  return {.first_token_seconds = median_of(samples, &AnswerCost::first_token_seconds),
          .prefill_peak_bytes = median_of(samples, &AnswerCost::prefill_peak_bytes),
          .decode_tokens_per_second = median_of(samples, &AnswerCost::decode_tokens_per_second)};
}

}  // namespace

std::vector<EvaluationRow> summarise(const std::vector<EvaluationSample>& samples,
                                     const analysis::BootstrapOptions& bootstrap) {
  using RowKey = std::tuple<std::string, int64_t, std::string, double>;
  std::vector<RowKey> order;
  std::map<RowKey, std::vector<const EvaluationSample*>> groups;
  for (const EvaluationSample& sample : samples) {
    const RowKey key{sample.task, sample.context_length, sample.method, sample.retention};
    if (groups[key].empty()) order.push_back(key);
    groups[key].push_back(&sample);
  }
  std::map<std::tuple<std::string, int64_t, int64_t>, double> full_score;
  for (const EvaluationSample& sample : samples) {
    if (sample.method == "full") {
      full_score[{sample.task, sample.context_length, sample.sample}] = sample.score;
    }
  }
  std::vector<EvaluationRow> rows;
  for (const RowKey& key : order) {
    EvaluationRow row;
    std::tie(row.task, row.context_length, row.method, row.retention) = key;
    row.metric = groups[key].front()->metric;
    row.compression = groups[key].front()->compression;
    std::vector<double> scores;
    double bytes = 0.0;
    double full = 0.0;
    double budget = 0.0;
    for (const EvaluationSample* sample : groups[key]) {
      scores.push_back(sample->score);
      bytes += static_cast<double>(sample->kv_bytes);
      budget += static_cast<double>(sample->budget_tokens);
      const auto of_full = full_score.find({sample->task, sample->context_length, sample->sample});
      full += of_full == full_score.end() ? std::nan("") : of_full->second;
    }
    const auto count = static_cast<double>(scores.size());
    const analysis::MeanInterval interval = analysis::bootstrap_mean(scores, bootstrap);
    row.num_samples = interval.num_samples;
    row.accuracy = interval.mean;
    row.ci_low = interval.low;
    row.ci_high = interval.high;
    row.kv_bytes = std::llround(bytes / count);
    row.budget_tokens = std::llround(budget / count);
    row.cost = median_cost(groups[key]);
    row.retention_of_full = full > 0.0 ? interval.mean * count / full : std::nan("");
    rows.push_back(row);
  }
  return rows;
}

double nominal_retention(int64_t budget_tokens, int64_t context_length) {
  if (context_length <= 0) return 1.0;
  return std::min(1.0, static_cast<double>(budget_tokens) / static_cast<double>(context_length));
}

}  // namespace headscope::profiler
