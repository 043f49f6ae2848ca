// What `profile` and `inspect` say of shared mode, which is another experiment than exact mode.
#pragma once

#include <string>
#include <vector>

#include "profiler/cli/session.h"
#include "profiler/measured_model.h"
#include "profiler/mode_agreement.h"
#include "profiler/profile_run.h"

namespace headscope::cli {

// Asks up to `count` of a shared profile's questions once more, each alone in its haystack, and
// compares. Interrupted where the user stops it.
[[nodiscard]] profiler::ModeAgreement compare_with_exact(const profiler::MeasuredModel& model,
                                                         const std::vector<profiler::Probe>& exact,
                                                         const HeadProfile& shared,
                                                         const profiler::ProfileOptions& options,
                                                         int64_t count,
                                                         Session& session);

// Keys num_probes, num_successful, scores{name: {spearman, ci_low, ci_high, top10_overlap,
// num_probes}} (docs/cli.md).
[[nodiscard]] Json mode_agreement_json(const profiler::ModeAgreement& agreement);

// Lines for people, from that object.
[[nodiscard]] std::string mode_agreement_text(const Json& agreement);

// A profile of shared mode keeps its agreement among its options, under this name.
inline constexpr const char* kModeAgreementOption = "mode_agreement";

// What a profile's mode is, from its provenance: a line that begins with `indent`, and the
// agreement where it was measured. Nothing for profiles that do not tell their mode.
[[nodiscard]] std::string mode_text(const Provenance& provenance, const std::string& indent);
// The stored agreement, null where there is none.
[[nodiscard]] Json stored_mode_agreement(const Provenance& provenance);

}  // namespace headscope::cli
