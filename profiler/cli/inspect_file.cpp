#include "profiler/cli/inspect_file.h"

#include <cmath>
#include <filesystem>
#include <sstream>

#include "analysis/head_ranking.h"
#include "outputs/evaluation_file.h"
#include "outputs/file_kind.h"
#include "outputs/input_error.h"
#include "outputs/interop/head_order.h"
#include "outputs/interop/layer_score.h"
#include "outputs/interop/retrieval_scores.h"
#include "outputs/plan_file.h"
#include "outputs/plan_json.h"
#include "outputs/profile_file.h"
#include "profiler/cli/audit_text.h"
#include "profiler/cli/curve_report.h"
#include "profiler/cli/evaluation_table.h"
#include "profiler/cli/mode_report.h"
#include "profiler/cli/plan_text.h"
#include "profiler/cli/trust_report.h"

namespace headscope::cli {
namespace {

using outputs::FileKind;

Json model_json(const ModelIdentity& model) {
  return {{"name", model.name},
          {"fingerprint", model.fingerprint},
          {"architecture", model.shape.architecture},
          {"num_layers", model.shape.num_layers},
          {"num_query_heads", model.shape.num_query_heads},
          {"num_kv_heads", model.shape.num_kv_heads},
          {"head_dim", model.shape.head_dim}};
}

Json provenance_json(const Provenance& made) {
  return {{"tool_version", made.tool_version},
          {"command", made.command},
          {"options", made.options},
          {"seed", made.seed},
          {"device", made.device},
          {"dtype", made.dtype},
          {"started", made.started},
          {"seconds", made.seconds}};
}

std::string model_line(const ModelIdentity& model) {
  return "  model        " + model.name + ", " + std::to_string(model.shape.num_layers) +
         " layers, " + std::to_string(model.shape.num_query_heads) + " query / " +
         std::to_string(model.shape.num_kv_heads) + " KV heads, fingerprint " +
         model.fingerprint.substr(0, 16) + "…\n";
}

std::string made_line(const Provenance& made) {
  return "  made by      " + made.command + "\n  made         " + made.started + " by " +
         made.tool_version + " on " + (made.device.empty() ? "-" : made.device) + "\n";
}

std::string top_line(const HeadMatrix& mean, size_t count) {
  std::ostringstream line;
  line.precision(3);
  const auto ranked = analysis::rank_heads(mean);
  for (size_t i = 0; i < count && i < ranked.size() && !std::isnan(ranked[i].score); ++i) {
    line << (i ? ", " : "") << head_name(ranked[i].head) << " (" << ranked[i].score << ")";
  }
  return line.str();
}

void inspect_profile(const Session& session, const std::string& path, Json json) {
  const HeadProfile profile = outputs::read_profile(path);
  std::ostringstream text;
  text << path << ": a head profile\n"
       << model_line(profile.model) << made_line(profile.provenance)
       << mode_text(profile.provenance, "  ");
  json["model"] = model_json(profile.model);
  json["provenance"] = provenance_json(profile.provenance);
  if (const Json agreement = stored_mode_agreement(profile.provenance); agreement.is_object()) {
    json["mode_agreement"] = agreement;
  }
  json["num_probes"] = profile.probes.size();
  json["num_successful"] = profile.num_successful();
  json["scores"] = Json::array();
  for (const auto& [name, table] : profile.scores) {
    json["scores"].push_back(name);
    text << "  " << name << std::string(name.size() < 13 ? 13 - name.size() : 1, ' ')
         << "top heads (layer-head): " << top_line(table.mean, 5) << "\n";
  }
  json["error_curves"] = Json::object();
  for (const auto& [name, curves] : profile.error_curves) {
    json["error_curves"][name] = curves_json(curves, profile.model.shape.num_layers);
    text << curves_text(name, curves, profile.model.shape.num_layers);
  }
  const profiler::ProbeAudit audit = profiler::audit_probes(profile);
  json["audit"] = audit_json(audit);
  text << audit_text(audit);
  json["trust"] = trust_json(profile, audit, session.common.seed);
  text << "how far to trust it\n" << trust_text(json["trust"]);
  session.emit(json, text.str());
}

void inspect_plan(const Session& session, const std::string& path, Json json) {
  const BudgetPlan plan = outputs::read_plan(path);
  json["model"] = model_json(plan.model);
  json["provenance"] = provenance_json(plan.provenance);
  json["method"] = plan.method;
  json["allocator"] = plan.allocator;
  json["lint"] = outputs::lint_to_json(plan.lint);
  session.emit(json, path + ": a budget plan\n" + model_line(plan.model) +
                         made_line(plan.provenance) + plan_text(plan));
}

void inspect_evaluation(const Session& session, const std::string& path, Json json) {
  const Evaluation evaluation = outputs::read_evaluation(path);
  json["model"] = model_json(evaluation.model);
  json["provenance"] = provenance_json(evaluation.provenance);
  json["num_rows"] = evaluation.rows.size();
  json["num_samples"] = evaluation.samples.size();
  json["rows"] = rows_json(evaluation);
  session.emit(json, path + ": an evaluation\n" + model_line(evaluation.model) +
                         made_line(evaluation.provenance) + "  rows         " +
                         std::to_string(evaluation.rows.size()) + ", from " +
                         std::to_string(evaluation.samples.size()) + " samples\n" +
                         rows_text(evaluation));
}

void emit_foreign(const Session& session,
                  Json json,
                  const std::string& title,
                  const std::vector<std::string>& warnings) {
  json["warnings"] = warnings;
  std::string text = title + "\n";
  for (const std::string& warning : warnings) text += "  warning      " + warning + "\n";
  session.emit(json, text);
}

void inspect_retrieval_scores(const Session& session, const std::string& path, Json json) {
  const auto scores = outputs::read_retrieval_scores(path);
  json["num_layers"] = scores.num_layers;
  json["num_query_heads"] = scores.num_query_heads;
  json["num_trials"] = scores.num_trials;
  json["num_distinct_trials"] = scores.num_distinct_trials;
  emit_foreign(session, json,
               path + ": head scores of the Retrieval_Head family\n  shape        " +
                   std::to_string(scores.num_layers) + " layers, " +
                   std::to_string(scores.num_query_heads) + " query heads\n  trials       " +
                   std::to_string(scores.num_trials) + ", " +
                   std::to_string(scores.num_distinct_trials) + " distinct\n  top heads    " +
                   top_line(scores.mean, 5),
               scores.warnings);
}

}  // namespace

bool inspect_file(const Session& session, const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) return false;
  const outputs::FileDescription found = outputs::describe_file(path);
  Json json{{"kind", outputs::kind_name(found.kind)}, {"format_version", found.format_version}};
  switch (found.kind) {
    case FileKind::kModel:
      return false;
    case FileKind::kProfile:
      inspect_profile(session, path, json);
      return true;
    case FileKind::kPlan:
      inspect_plan(session, path, json);
      return true;
    case FileKind::kEvaluation:
      inspect_evaluation(session, path, json);
      return true;
    case FileKind::kRetrievalScores:
      inspect_retrieval_scores(session, path, json);
      return true;
    case FileKind::kHeadOrder: {
      const auto order = outputs::read_head_order(path);
      json["num_layers"] = order.size();
      json["num_query_heads"] = order.front().size();
      emit_foreign(session, json,
                   path + ": head order (layer -> query heads, best first), " +
                       std::to_string(order.size()) + " layers, " +
                       std::to_string(order.front().size()) + " query heads",
                   {});
      return true;
    }
    case FileKind::kLayerScore: {
      const auto score = outputs::read_layer_score(path);
      json["num_layers"] = score.num_layers;
      json["tasks"] = score.tasks.size();
      emit_foreign(session, json,
                   path + ": layer errors of CompressKV, " + std::to_string(score.num_layers) +
                       " layers, " + std::to_string(score.tasks.size()) + " data sets",
                   score.warnings);
      return true;
    }
    case FileKind::kTrace:
    case FileKind::kRetained:
    case FileKind::kDuoPattern:
    case FileKind::kTorchPickle:
      emit_foreign(session, json,
                   path + ": " + outputs::kind_name(found.kind) + " (" + found.detail + ")", {});
      return true;
    case FileKind::kUnknown:
      break;
  }
  throw InputError(path, "a model, a profile, a plan, an evaluation or a head file",
                   "none of these");
}

}  // namespace headscope::cli
