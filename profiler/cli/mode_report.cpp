#include "profiler/cli/mode_report.h"

#include <sstream>

#include "profiler/cli/trust_report.h"

namespace headscope::cli {

profiler::ModeAgreement compare_with_exact(const profiler::MeasuredModel& model,
                                           const std::vector<profiler::Probe>& exact,
                                           const HeadProfile& shared,
                                           const profiler::ProfileOptions& options,
                                           int64_t count,
                                           Session& session) {
  const std::vector<profiler::Probe> probes = profiler::comparison_probes(exact, shared, count);
  if (probes.empty()) return {};
  session.console.message("asking " + std::to_string(probes.size()) +
                          " of the questions alone in their haystacks, to compare");
  profiler::ProfileOptions alone = options;
  alone.mode = profiler::ProfileMode::kExact;
  alone.mix.clear();  // these few need not hold every family
  const profiler::ProfileOutcome outcome =
      profiler::profile_heads(model, probes, alone, shared.provenance, session.console);
  if (!outcome.complete) {
    throw Interrupted(
        "interrupted while shared mode was compared with exact mode. Run the same "
        "command again to go on, or with --compare-exact 0 to go without.");
  }
  return profiler::mode_agreement(outcome.profile, shared);
}

Json mode_agreement_json(const profiler::ModeAgreement& agreement) {
  Json json{{"num_probes", agreement.num_probes},
            {"num_successful", agreement.num_successful},
            {"scores", Json::object()}};
  for (const auto& [name, found] : agreement.scores) {
    json["scores"][name] = {{"spearman", number_json(found.spearman)},
                            {"ci_low", number_json(found.low)},
                            {"ci_high", number_json(found.high)},
                            {"top10_overlap", number_json(found.top_jaccard)},
                            {"num_probes", found.num_pairs}};
  }
  return json;
}

std::string mode_agreement_text(const Json& agreement) {
  std::ostringstream text;
  text.precision(2);
  text << std::fixed;
  for (const auto& [name, score] : agreement["scores"].items()) {
    if (score["spearman"].is_null()) continue;
    text << (text.tellp() > 0 ? ", " : "") << name << " " << score["spearman"].get<double>();
    if (!score["ci_low"].is_null()) {
      text << " (" << score["ci_low"].get<double>() << " to " << score["ci_high"].get<double>()
           << ")";
    }
  }
  if (text.tellp() == 0) {
    return "no rank correlation to exact mode: of " +
           std::to_string(agreement["num_probes"].get<int64_t>()) +
           " questions asked both ways none was answered both times";
  }
  const Json& any = *agreement["scores"].begin();
  return "rank correlation of heads to exact mode, over " +
         std::to_string(any["num_probes"].get<int64_t>()) +
         " questions answered both ways: " + text.str();
}

Json stored_mode_agreement(const Provenance& provenance) {
  const auto stored = provenance.options.find(kModeAgreementOption);
  if (stored == provenance.options.end()) return nullptr;
  return Json::parse(stored->second, /*cb=*/nullptr, /*allow_exceptions=*/false);
}

std::string mode_text(const Provenance& provenance, const std::string& indent) {
  const auto mode = provenance.options.find("mode");
  if (mode == provenance.options.end()) return "";
  if (mode->second != "shared") return indent + "mode         " + mode->second + "\n";
  std::string text = indent +
                     "mode         shared: many needles to a haystack, another experiment than one "
                     "needle\n" +
                     indent + "             to a haystack (exact)\n";
  const Json agreement = stored_mode_agreement(provenance);
  return text + indent + "             " +
         (agreement.is_object() ? mode_agreement_text(agreement)
                                : "its agreement with exact mode was not measured") +
         "\n";
}

}  // namespace headscope::cli
