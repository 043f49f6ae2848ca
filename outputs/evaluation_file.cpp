#include "outputs/evaluation_file.h"

#include "outputs/atomic_file.h"
#include "outputs/hdf5_records.h"
#include "outputs/plan_file.h"

namespace headscope::outputs {
namespace {

// Each calls `column(name, member)` for every plain column of its table.
template <typename Column>
void for_each_row_column(Column column) {
  column("rows/task", &EvaluationRow::task);
  column("rows/method", &EvaluationRow::method);
  column("rows/context_length", &EvaluationRow::context_length);
  column("rows/retention", &EvaluationRow::retention);
  column("rows/budget_tokens", &EvaluationRow::budget_tokens);
  column("rows/kv_bytes", &EvaluationRow::kv_bytes);
  column("rows/num_samples", &EvaluationRow::num_samples);
  column("rows/accuracy", &EvaluationRow::accuracy);
  column("rows/ci_low", &EvaluationRow::ci_low);
  column("rows/ci_high", &EvaluationRow::ci_high);
  column("rows/retention_of_full", &EvaluationRow::retention_of_full);
}

// Those of version 1.1.
template <typename Column>
void for_each_newer_row_column(Column column) {
  column("rows/metric", &EvaluationRow::metric);
  column("rows/compression", &EvaluationRow::compression);
}

template <typename Column>
void for_each_newer_sample_column(Column column) {
  column("samples/metric", &EvaluationSample::metric);
  column("samples/compression", &EvaluationSample::compression);
  column("samples/depth", &EvaluationSample::depth);
  column("samples/prompt_tokens", &EvaluationSample::prompt_tokens);
  column("samples/budget_tokens", &EvaluationSample::budget_tokens);
}

template <typename Column>
void for_each_cost_column(const std::string& table, Column column) {
  column(table + "first_token_seconds", &AnswerCost::first_token_seconds);
  column(table + "prefill_peak_bytes", &AnswerCost::prefill_peak_bytes);
  column(table + "decode_tokens_per_second", &AnswerCost::decode_tokens_per_second);
}

template <typename Record>
void write_costs(Hdf5Writer& file, const std::string& table, const std::vector<Record>& records) {
  std::vector<AnswerCost> costs;
  for (const Record& record : records) costs.push_back(record.cost);
  for_each_cost_column(
      table, [&](const std::string& name, auto field) { write_column(file, name, costs, field); });
}

template <typename Record>
void read_costs(const Hdf5Reader& file, const std::string& table, std::vector<Record>& records) {
  std::vector<AnswerCost> costs(records.size());
  for_each_cost_column(table, [&](const std::string& name, auto field) {
    if (file.has(name)) read_column(file, name, costs, field);
  });
  for (size_t i = 0; i < records.size(); ++i) records[i].cost = costs[i];
}

template <typename Column>
void for_each_sample_column(Column column) {
  column("samples/task", &EvaluationSample::task);
  column("samples/method", &EvaluationSample::method);
  column("samples/context_length", &EvaluationSample::context_length);
  column("samples/retention", &EvaluationSample::retention);
  column("samples/sample", &EvaluationSample::sample);
  column("samples/score", &EvaluationSample::score);
  column("samples/kv_bytes", &EvaluationSample::kv_bytes);
  column("samples/expected", &EvaluationSample::expected);
  column("samples/response", &EvaluationSample::response);
}

Evaluation read_evaluation_hdf5(const std::filesystem::path& path) {
  const Hdf5Reader file(path);
  check_header(file, kEvaluationFormat);
  Evaluation evaluation;
  evaluation.model = read_model(file);
  evaluation.provenance = read_provenance(file);
  evaluation.rows.resize(file.read<std::string>("rows/task", {-1}).size());
  evaluation.samples.resize(file.read<std::string>("samples/task", {-1}).size());
  for_each_row_column(
      [&](const char* name, auto field) { read_column(file, name, evaluation.rows, field); });
  read_flags(file, "rows/below_floor", evaluation.rows, &EvaluationRow::below_floor);
  for_each_sample_column(
      [&](const char* name, auto field) { read_column(file, name, evaluation.samples, field); });
  for_each_newer_row_column([&](const char* name, auto field) {
    if (file.has(name)) read_column(file, name, evaluation.rows, field);
  });
  for_each_newer_sample_column([&](const char* name, auto field) {
    if (file.has(name)) read_column(file, name, evaluation.samples, field);
  });
  read_costs(file, "rows/", evaluation.rows);
  read_costs(file, "samples/", evaluation.samples);
  return evaluation;
}

void write_evaluation_hdf5(const Evaluation& evaluation,
                           const std::filesystem::path& path,
                           bool overwrite) {
  Hdf5Writer file(path, overwrite);
  write_header(file, kEvaluationFormat, kEvaluationFormatVersion);
  write_model(file, evaluation.model);
  for_each_row_column(
      [&](const char* name, auto field) { write_column(file, name, evaluation.rows, field); });
  write_flags(file, "rows/below_floor", evaluation.rows, &EvaluationRow::below_floor);
  for_each_sample_column(
      [&](const char* name, auto field) { write_column(file, name, evaluation.samples, field); });
  for_each_newer_row_column(
      [&](const char* name, auto field) { write_column(file, name, evaluation.rows, field); });
  for_each_newer_sample_column(
      [&](const char* name, auto field) { write_column(file, name, evaluation.samples, field); });
  write_costs(file, "rows/", evaluation.rows);
  write_costs(file, "samples/", evaluation.samples);
  write_provenance(file, evaluation.provenance);
  file.commit();
}

}  // namespace

Evaluation read_evaluation(const std::filesystem::path& path) {
  if (has_hdf5_signature(path)) return read_evaluation_hdf5(path);
  return evaluation_from_json(read_file(path), path.string());
}

void write_evaluation(const Evaluation& evaluation,
                      const std::filesystem::path& path,
                      bool overwrite) {
  if (has_hdf5_extension(path)) {
    write_evaluation_hdf5(evaluation, path, overwrite);
  } else {
    write_file_atomically(path, evaluation_to_json(evaluation), overwrite);
  }
}

}  // namespace headscope::outputs
