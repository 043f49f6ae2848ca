#include "analysis/stop_rule.h"
#include "profiler/cli/trust_report.h"

namespace headscope::cli {

Json stop_json(const HeadProfile& profile) {
  const auto options = analysis::stop_options_of(profile.provenance);
  if (!options) return {};
  const analysis::StopDecision decision = analysis::decide_stop(profile, *options);
  return {{"stopped", decision.stop},
          {"score", decision.score},
          {"reason", decision.reason},
          {"num_probes", decision.num_probes},
          {"confidence", number_json(decision.confidence)},
          {"expected_overlap", number_json(decision.expected_overlap)},
          {"overlap_with_past", number_json(decision.overlap_with_past)},
          {"asked_overlap", options->overlap},
          {"asked_confidence", options->confidence}};
}

}  // namespace headscope::cli
