// How far a profile can be trusted: what `profile` and `inspect` say of it beside its scores. Every
// figure's definition is in analysis/ (stability.h, agreement.h, bootstrap.h, retrieval_verdict.h).
#pragma once

#include <string>

#include "outputs/head_profile.h"
#include "profiler/cli/session.h"
#include "profiler/probe_audit.h"

namespace headscope::cli {

// A number, or null for NaN.
[[nodiscard]] Json number_json(double value);

// Keys of docs/cli.md: num_probes, num_successful, num_distinct_trials, families, mix, stability,
// family_agreement, score_agreement, intervals, kv_heads, selected_heads, verdict, until_stable,
// unscored_layers, warnings. The figures repeat with the seed. `audit` is the
// profile's own (audit_probes).
[[nodiscard]] Json trust_json(const HeadProfile& profile,
                              const profiler::ProbeAudit& audit,
                              uint64_t seed);

// What the stop rule says of a profile that was measured until it was stable: stopped (false: the
// probes ran out), score, reason (a sentence), num_probes, confidence, expected_overlap,
// overlap_with_past, and the rule's overlap and confidence asked for. Null for any other.
[[nodiscard]] Json stop_json(const HeadProfile& profile);

// The same for people, from that object; lines begin with `indent`.
[[nodiscard]] std::string trust_text(const Json& trust, const std::string& indent = "  ");

}  // namespace headscope::cli
