// Many questions of one context at once: the context's keys and values are held once, and one pass
// brings what is each question's own together with its gold answer as a draft. Answers that differ
// from their draft are decoded on together, one row of each to a pass.
//
// Each answer and reading is what the question alone would give, up to the rounding of sums that
// are taken in another order.
#pragma once

#include <span>
#include <vector>

#include "profiler/head_scorer.h"
#include "profiler/measured_model.h"
#include "profiler/probe.h"
#include "profiler/probe_answer.h"
#include "profiler/profile_run.h"
#include "runtime/full_kv_cache.h"

namespace headscope::profiler {

// Rows of a pass at most (one question may have more), which bounds its transient memory.
inline constexpr int64_t kBatchRows = 512;

// Whether questions of this model may share a pass. Not where rotary frequencies depend on the
// pass's end (dynamic scaling): a question's would then depend on the others.
[[nodiscard]] bool can_batch_questions(const model::ModelConfig& config);

// `prefix` holds what all prompts begin with, shorter than any of them; it is left as it is. The
// answers stand in the order of the probes.
[[nodiscard]] std::vector<ProbeAnswer> read_questions(const MeasuredModel& model,
                                                      const ProfileOptions& options,
                                                      const ScorerSet& scorers,
                                                      const runtime::FullKvCache& prefix,
                                                      std::span<const Probe* const> probes);

}  // namespace headscope::profiler
