#include <nlohmann/json.hpp>

#include "outputs/evaluation_file.h"
#include "outputs/json_fields.h"
#include "outputs/json_records.h"

namespace headscope::outputs {
namespace {

using nlohmann::ordered_json;

void add_cost(const AnswerCost& cost, ordered_json& json) {
  json["first_token_seconds"] = cost.first_token_seconds;
  json["prefill_peak_bytes"] = cost.prefill_peak_bytes;
  json["decode_tokens_per_second"] = cost.decode_tokens_per_second;
}

// Version 1.0 has no costs.
AnswerCost cost_from_json(const JsonField& field) {
  AnswerCost cost;
  if (!field.has("first_token_seconds")) return cost;
  cost.first_token_seconds = field.at("first_token_seconds").number_or_null();
  cost.prefill_peak_bytes = field.at("prefill_peak_bytes").number_or_null();
  cost.decode_tokens_per_second = field.at("decode_tokens_per_second").number_or_null();
  return cost;
}

EvaluationRow row_from_json(const JsonField& field) {
  EvaluationRow row;
  row.task = field.at("task").text();
  row.method = field.at("method").text();
  row.context_length = field.at("context_length").integer(0);
  row.retention = field.at("retention").number_or_null();
  row.budget_tokens = field.at("budget_tokens").integer(0);
  row.kv_bytes = field.at("kv_bytes").integer(0);
  row.num_samples = field.at("num_samples").integer(0);
  row.accuracy = field.at("accuracy").number_or_null();
  row.ci_low = field.at("ci_low").number_or_null();
  row.ci_high = field.at("ci_high").number_or_null();
  row.retention_of_full = field.at("retention_of_full").number_or_null();
  row.below_floor = field.at("below_floor").boolean();
  if (field.has("metric")) {
    row.metric = field.at("metric").text();
    row.compression = field.at("compression").text();
  }
  row.cost = cost_from_json(field);
  return row;
}

ordered_json sample_to_json(const EvaluationSample& sample) {
  ordered_json json{{"task", sample.task},
                    {"method", sample.method},
                    {"metric", sample.metric},
                    {"compression", sample.compression},
                    {"context_length", sample.context_length},
                    {"retention", sample.retention},
                    {"sample", sample.sample},
                    {"depth", sample.depth},
                    {"score", sample.score},
                    {"prompt_tokens", sample.prompt_tokens},
                    {"budget_tokens", sample.budget_tokens},
                    {"kv_bytes", sample.kv_bytes},
                    {"expected", sample.expected},
                    {"response", sample.response}};
  add_cost(sample.cost, json);
  return json;
}

EvaluationSample sample_from_json(const JsonField& field) {
  EvaluationSample sample;
  sample.task = field.at("task").text();
  sample.method = field.at("method").text();
  sample.context_length = field.at("context_length").integer(0);
  sample.retention = field.at("retention").number_or_null();
  sample.sample = field.at("sample").integer(0);
  sample.score = field.at("score").number_or_null();
  sample.kv_bytes = field.at("kv_bytes").integer(0);
  sample.expected = field.at("expected").text();
  sample.response = field.at("response").text();
  if (field.has("metric")) {
    sample.metric = field.at("metric").text();
    sample.compression = field.at("compression").text();
    sample.depth = field.at("depth").number_or_null();
    sample.prompt_tokens = field.at("prompt_tokens").integer(0);
    sample.budget_tokens = field.at("budget_tokens").integer(0);
  }
  sample.cost = cost_from_json(field);
  return sample;
}

}  // namespace

nlohmann::ordered_json evaluation_row_to_json(const EvaluationRow& row) {
  ordered_json json{{"task", row.task},
                    {"method", row.method},
                    {"metric", row.metric},
                    {"compression", row.compression},
                    {"context_length", row.context_length},
                    {"retention", row.retention},
                    {"budget_tokens", row.budget_tokens},
                    {"kv_bytes", row.kv_bytes},
                    {"num_samples", row.num_samples},
                    {"accuracy", row.accuracy},
                    {"ci_low", row.ci_low},
                    {"ci_high", row.ci_high},
                    {"retention_of_full", row.retention_of_full},
                    {"below_floor", row.below_floor}};
  add_cost(row.cost, json);
  return json;
}

Evaluation evaluation_from_json(const std::string& text, const std::string& where) {
  const nlohmann::json parsed = parse_json(text, where);
  const JsonField root(parsed, where);
  check_json_header(root, kEvaluationFormat);
  Evaluation evaluation;
  evaluation.model = model_from_json(root.at("model"));
  evaluation.provenance = provenance_from_json(root.at("provenance"));
  for (const JsonField& row : root.at("rows").items()) {
    evaluation.rows.push_back(row_from_json(row));
  }
  for (const JsonField& sample : root.at("samples").items()) {
    evaluation.samples.push_back(sample_from_json(sample));
  }
  return evaluation;
}

std::string evaluation_to_json(const Evaluation& evaluation) {
  ordered_json rows = ordered_json::array();
  for (const EvaluationRow& row : evaluation.rows) rows.push_back(evaluation_row_to_json(row));
  ordered_json samples = ordered_json::array();
  for (const EvaluationSample& sample : evaluation.samples) {
    samples.push_back(sample_to_json(sample));
  }
  return to_readable_json(ordered_json{{"format", kEvaluationFormat},
                                       {"format_version", kEvaluationFormatVersion},
                                       {"model", model_to_json(evaluation.model)},
                                       {"rows", rows},
                                       {"samples", samples},
                                       {"provenance", provenance_to_json(evaluation.provenance)}});
}

}  // namespace headscope::outputs
