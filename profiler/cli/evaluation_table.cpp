#include "profiler/cli/evaluation_table.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <sstream>
#include <utility>
#include <vector>

#include "outputs/evaluation_file.h"
#include "profiler/cli/evaluation_averages.h"
#include "profiler/cli/table_text.h"
#include "profiler/evaluation_settings.h"

namespace headscope::cli {
namespace {

constexpr const char* kFloorNote = "* below the method's own floor: floor and window were lowered";

// "-" where nothing was measured.
std::string or_dash(double value, const std::string& text) {
  return std::isnan(value) ? "-" : text;
}

std::string seconds(double value) {
  return or_dash(value, value < 1.0 ? fixed(1000.0 * value, 0) + " ms" : fixed(value, 2) + " s");
}

std::string bytes(double value) {
  return or_dash(value, std::isnan(value) ? "" : human_bytes(std::llround(value)));
}

std::string accuracy(const EvaluationRow& row) {
  return fixed(row.accuracy, 2) + " (" + fixed(row.ci_low, 2) + " to " + fixed(row.ci_high, 2) +
         ")" + (row.below_floor ? " *" : "");
}

bool has_floors(const Evaluation& evaluation) {
  return std::any_of(evaluation.rows.begin(), evaluation.rows.end(),
                     [](const EvaluationRow& row) { return row.below_floor; });
}

// "question-aware: …", for the head of a table.
std::string compression_note(const std::string& compression) {
  return compression + (compression == kQuestionAgnostic
                            ? ": the context is compressed before the question is known; budgets "
                              "are the context's"
                            : ": the whole prompt is compressed, the question at its end included");
}

std::string compressions_of(const Evaluation& evaluation) {
  std::set<std::string> kinds;
  std::string notes;
  for (const EvaluationRow& row : evaluation.rows) {
    if (kinds.insert(row.compression).second) notes += compression_note(row.compression) + "\n";
  }
  return notes;
}

// Columns as wide as their widest cell: the first two to the left, the others to the right.
std::string aligned(const std::vector<std::vector<std::string>>& lines) {
  std::vector<size_t> widths;
  for (const auto& line : lines) {
    widths.resize(std::max(widths.size(), line.size()));
    for (size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  }
  std::string text;
  for (const auto& line : lines) {
    for (size_t i = 0; i < line.size(); ++i) {
      const std::string room(widths[i] - line[i].size(), ' ');
      text += (i > 0 ? "  " : "") + (i < 2 ? line[i] + room : room + line[i]);
    }
    text += "\n";
  }
  return text;
}

using Cell = std::pair<std::string, int64_t>;  // task, context length
using Rows = std::vector<const EvaluationRow*>;

std::vector<std::pair<Cell, Rows>> cells_of(const Evaluation& evaluation) {
  std::vector<std::pair<Cell, Rows>> cells;
  for (const EvaluationRow& row : evaluation.rows) {
    const Cell key{row.task, row.context_length};
    auto cell = std::find_if(cells.begin(), cells.end(),
                             [&](const auto& known) { return known.first == key; });
    if (cell == cells.end()) cell = cells.insert(cells.end(), {key, {}});
    cell->second.push_back(&row);
  }
  return cells;
}

std::string size_label(const EvaluationRow& row) {
  return percent(row.retention) + " (" + std::to_string(row.budget_tokens) + ")";
}

std::string accuracy_table(const Rows& rows) {
  std::vector<SizeCell> cells;
  for (const EvaluationRow* row : rows) {
    if (row->method == profiler::kFullCache) continue;
    cells.push_back({row->method, row->retention, size_label(*row), accuracy(*row)});
  }
  return size_table("kept (tokens per KV head)", cells, /*missing=*/"");
}

std::string cost_table(const Rows& rows) {
  std::string lines;
  for (const EvaluationRow* row : rows) {
    const AnswerCost& cost = row->cost;
    if (std::isnan(cost.first_token_seconds)) continue;
    lines += markdown_line(
        {row->method, size_label(*row), human_bytes(row->kv_bytes),
         seconds(cost.first_token_seconds), bytes(cost.prefill_peak_bytes),
         or_dash(cost.decode_tokens_per_second, fixed(cost.decode_tokens_per_second, 1))});
  }
  if (lines.empty()) return "";
  return "\n" +
         markdown_head(
             {"method", "kept", "KV cache", "first token", "peak of prefill", "decode tokens/s"}) +
         lines;
}

std::string cell_markdown(const Cell& cell, const Rows& rows) {
  const EvaluationRow& first = *rows.front();
  std::string text = "### " + cell.first + ", " + std::to_string(cell.second) + " tokens\n\n" +
                     (first.metric.empty() ? "Score" : first.metric + " score") + ", mean of " +
                     std::to_string(first.num_samples) + " samples (95 % interval); " +
                     compression_note(first.compression) + ".";
  for (const EvaluationRow* row : rows) {
    if (row->method == profiler::kFullCache) {
      text += " Full cache: " + accuracy(*row) + ", " + human_bytes(row->kv_bytes) + ".";
    }
  }
  return text + "\n\n" + accuracy_table(rows) + cost_table(rows) + "\n";
}

}  // namespace

Json rows_json(const Evaluation& evaluation) {
  Json rows = Json::array();
  for (const EvaluationRow& row : evaluation.rows) {
    rows.push_back(outputs::evaluation_row_to_json(row));
  }
  return rows;
}

std::string rows_text(const Evaluation& evaluation) {
  std::vector<std::vector<std::string>> lines{{"task", "method", "context", "kept", "tokens",
                                               "KV cache", "accuracy (95 % CI)", "of full",
                                               "first token", "peak", "tokens/s"}};
  for (const EvaluationRow& row : evaluation.rows) {
    lines.push_back(
        {row.task, row.method, std::to_string(row.context_length), percent(row.retention),
         std::to_string(row.budget_tokens), human_bytes(row.kv_bytes), accuracy(row),
         or_dash(row.retention_of_full, percent(row.retention_of_full)),
         seconds(row.cost.first_token_seconds), bytes(row.cost.prefill_peak_bytes),
         or_dash(row.cost.decode_tokens_per_second, fixed(row.cost.decode_tokens_per_second, 1))});
  }
  return compressions_of(evaluation) + aligned(lines) +
         (has_floors(evaluation) ? std::string(kFloorNote) + "\n" : "");
}

std::string rows_markdown(const Evaluation& evaluation) {
  std::string text = averages_markdown(evaluation);
  for (const auto& [cell, rows] : cells_of(evaluation)) text += cell_markdown(cell, rows);
  return text + (has_floors(evaluation) ? "\\" + std::string(kFloorNote) + ".\n" : "");
}

}  // namespace headscope::cli
