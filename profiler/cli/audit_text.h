// The audit of a profile's probes, for people and as JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "profiler/probe_audit.h"

namespace headscope::cli {

// {probes, distinct_prompts, counted, distinct_trials, spans_in_place, with_needle, depth_gap{mean, max},
//  controls, controls_answered, families[…], cells[…], warnings[…]}
[[nodiscard]] nlohmann::ordered_json audit_json(const profiler::ProbeAudit& audit);

// A few lines and a table: answered of asked for each family and context length, a column a depth.
[[nodiscard]] std::string audit_text(const profiler::ProbeAudit& audit);

}  // namespace headscope::cli
