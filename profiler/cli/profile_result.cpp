#include "profiler/cli/profile_result.h"

#include <sstream>

#include "analysis/head_ranking.h"
#include "profiler/cli/audit_text.h"
#include "profiler/cli/mode_report.h"
#include "profiler/cli/trust_report.h"

namespace headscope::cli {
namespace {

Json result_json(const profiler::ProfileOutcome& outcome,
                 const profiler::ProbeAudit& audit,
                 uint64_t seed) {
  const HeadProfile& profile = outcome.profile;
  Json json{{"num_probes", profile.probes.size()}, {"num_successful", profile.num_successful()},
            {"num_resumed", outcome.num_resumed},  {"scores", Json::object()},
            {"stability", Json::object()},         {"seconds", profile.provenance.seconds},
            {"audit", audit_json(audit)},          {"trust", trust_json(profile, audit, seed)}};
  json["stability"] = json["trust"]["stability"];
  const Json& until_stable = json["trust"]["until_stable"];
  if (!until_stable.is_null()) json["stability"]["until_stable"] = until_stable;
  if (const auto mode = profile.provenance.options.find("mode");
      mode != profile.provenance.options.end()) {
    json["mode"] = mode->second;
  }
  if (const Json agreement = stored_mode_agreement(profile.provenance); agreement.is_object()) {
    json["mode_agreement"] = agreement;
  }
  for (const auto& [name, table] : profile.scores) {
    Json heads = Json::array();
    for (const analysis::RankedHead& head : analysis::rank_heads(table.mean)) {
      heads.push_back(Json::array({head.head.layer, head.head.head, number_json(head.score)}));
    }
    json["scores"][name] = {{"top_heads", heads}};
  }
  return json;
}

std::string result_text(const HeadProfile& profile,
                        const profiler::ProbeAudit& audit,
                        const Json& json,
                        const std::string& out) {
  std::ostringstream text;
  text << "wrote " << out << ": " << profile.num_successful() << " of " << profile.probes.size()
       << " probes answered\n"
       << mode_text(profile.provenance, "");
  text.precision(3);
  for (const auto& [name, unused] : profile.scores) {
    text << name << std::string(name.size() < 12 ? 12 - name.size() : 1, ' ');
    const Json& heads = json["scores"][name]["top_heads"];
    for (size_t i = 0; i < 8 && i < heads.size(); ++i) {
      text << (i ? "  " : "") << heads[i][0] << "-" << heads[i][1];
      if (!heads[i][2].is_null()) text << " " << heads[i][2].get<double>();
    }
    text << "\n";
  }
  text << audit_text(audit) << trust_text(json["trust"], "");
  if (profile.num_successful() == 0) {
    text << "No probe was answered: the scores are empty. Try shorter contexts "
            "(--context-lengths), or\n"
            "needles with an answer prefix.\n";
  }
  return text.str();
}

}  // namespace

void emit_profile(const Session& session,
                  const profiler::ProfileOutcome& outcome,
                  const std::string& path,
                  const Json& more) {
  const profiler::ProbeAudit audit = profiler::audit_probes(outcome.profile);
  Json json = result_json(outcome, audit, session.common.seed);
  json.update(more);
  session.emit(json, result_text(outcome.profile, audit, json, path));
}

}  // namespace headscope::cli
