#include "tests/outputs/samples.h"

#include <unistd.h>

#include <cmath>
#include <limits>

#include "outputs/provenance.h"

namespace headscope::outputs {
namespace fs = std::filesystem;

ModelIdentity sample_model() {
  ModelIdentity model;
  model.name = "tiny-llama";
  model.fingerprint = std::string(64, 'a');
  model.shape.architecture = "llama";
  model.shape.num_layers = 3;
  model.shape.num_query_heads = 4;
  model.shape.num_kv_heads = 2;
  model.shape.head_dim = 8;
  model.shape.hidden_size = 32;
  model.shape.vocab_size = 128;
  model.shape.max_positions = 4096;
  model.shape.attention_window = {0, 512, 0};
  return model;
}

Provenance sample_provenance() {
  Provenance provenance = begin_provenance("headscope profile tiny --out p.h5");
  provenance.options = {{"depths", "0,0.5,1"}, {"needles", "größe.jsonl"}, {"text", ""}};
  provenance.seed = std::numeric_limits<uint64_t>::max();
  provenance.device = "cpu";
  provenance.dtype = "float32";
  provenance.seconds = 12.5;
  return provenance;
}

HeadProfile sample_profile() {
  HeadProfile profile;
  profile.model = sample_model();
  profile.provenance = sample_provenance();
  for (int64_t i = 0; i < 2; ++i) {
    ProbeRecord probe;
    probe.id = i;
    probe.family = "needle";
    probe.needle_id = "needle-" + std::to_string(i);
    probe.prompt_format = "chat:chatml";
    probe.context_length = 256 + i;
    probe.asked_depth = 0.25;
    probe.achieved_depth = 0.247;
    probe.needle_spans = {{60, 75}};
    probe.answer_spans = {{70, 74}};
    probe.answer = i == 0 ? "73914" : "Zürich";
    probe.response = i == 0 ? "" : "It is Zürich.";
    probe.success = i == 1;
    probe.gate_value = 0.5 * static_cast<double>(i);
    probe.prompt_hash = std::string(64, 'b');
    if (i == 1) {
      probe.needle_spans.push_back({90, 110});
      probe.answer_spans.insert(probe.answer_spans.end(), {{93, 95}, {100, 104}});
    }
    profile.probes.push_back(probe);
  }
  ProbeRecord control = profile.probes[0];
  control.response = "No.";
  profile.controls.probes = {control};
  ScoreTable& unfound = profile.controls.scores["srh"];
  unfound.samples.assign(12, 0.03125F);
  unfound.mean = HeadMatrix(3, 4);
  ScoreTable& table = profile.scores["srh"];
  table.mean = HeadMatrix(3, 4);
  for (size_t i = 0; i < 12; ++i) table.samples.push_back(std::nanf(""));
  for (size_t i = 0; i < 12; ++i) {
    table.samples.push_back(static_cast<float>(i) / 16.0F);
    table.mean.values[i] = static_cast<double>(i) / 16.0;
  }
  ErrorCurves& curves = profile.error_curves["srh4"];
  curves.budgets = {16, 32};
  curves.tasks = {"needle", "qa"};
  for (size_t i = 0; i < 12; ++i) {
    curves.samples.push_back(static_cast<float>(i) * 0.25F);
    curves.samples_summed.push_back(static_cast<float>(i) * 2.5F);
    curves.kv_head.push_back(static_cast<float>(i) * 0.125F);
  }
  curves.layer = {0.5F, 0.25F, 0.75F, 0.5F, 1.0F, 0.0F};
  curves.task_weights = {0.75, 0.25};
  curves.kv_head_squared.assign(12, 0.0625F);
  curves.prompt_task = {0, 1, 1};
  curves.prompt_layer.assign(18, 0.375F);
  curves.kl_budgets = {32};
  curves.prompt_kl.assign(9, 0.015625F);
  return profile;
}

BudgetPlan sample_plan() {
  BudgetPlan plan;
  plan.model = sample_model();
  plan.method = "compresskv";
  plan.allocator = "uniform";
  plan.selection.pooling = Pooling::kMax;
  plan.selection.pooling_kernel = 7;
  plan.selection.num_sink_tokens = 4;
  plan.budget_tokens = {{32, 48}, {64, 64}, {0, 128}};
  plan.selector_heads = {{3, 1}, {0, 2}, {1, 0}};
  plan.provenance = sample_provenance();
  plan.lint = {1024, 336, 336, 0, 128, {"KV head 0 of layer 2 keeps nothing"}};
  plan.lint.bytes_per_token = 64;
  plan.lint.smallest_head = {2, 0};
  plan.lint.largest_head = {2, 1};
  plan.lint.contexts = {{1024, 336, 0}, {64, 272, 1}};
  return plan;
}

Evaluation sample_evaluation() {
  Evaluation evaluation;
  evaluation.model = sample_model();
  evaluation.provenance = sample_provenance();
  EvaluationRow row;
  row.task = "qa";
  row.method = "snapkv";
  row.context_length = 1024;
  row.retention = 0.125;
  row.budget_tokens = 128;
  row.kv_bytes = 1 << 20;
  row.num_samples = 2;
  row.accuracy = 0.5;
  row.ci_low = 0.1;
  row.ci_high = 0.9;
  row.retention_of_full = std::numeric_limits<double>::quiet_NaN();
  row.below_floor = true;
  row.metric = "f1";
  row.compression = kQuestionAgnostic;
  row.cost = {0.25, 1.5e9, 31.5};
  evaluation.rows = {row, row};
  evaluation.rows[1].method = "full";
  evaluation.rows[1].retention_of_full = 1.0;
  evaluation.rows[1].cost = {};
  EvaluationSample sample;
  sample.task = "qa";
  sample.method = "snapkv";
  sample.context_length = 1024;
  sample.retention = 0.125;
  sample.sample = 7;
  sample.score = 1.0 / 3.0;
  sample.kv_bytes = 4096;
  sample.metric = "f1";
  sample.compression = kQuestionAgnostic;
  sample.depth = 0.75;
  sample.prompt_tokens = 1000;
  sample.budget_tokens = 125;
  sample.cost = {0.5, 2048.0, std::numeric_limits<double>::quiet_NaN()};
  sample.expected = "Zürich";
  sample.response = "line one\nline \"two\"";
  evaluation.samples = {sample};
  return evaluation;
}

}  // namespace headscope::outputs
