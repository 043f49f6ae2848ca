// The probes of a whole run: a grid for every family asked for, and their controls.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "profiler/haystack.h"
#include "profiler/probe.h"
#include "profiler/probe_grid.h"
#include "profiler/probes/shared_haystack.h"
#include "profiler/prompt_format.h"

namespace headscope::profiler {

// In the statements' own words, in others, or each question once in either.
enum class QuestionChoice { kLiteral, kParaphrased, kBoth };

// "literal", "paraphrased", "both"; InputError for anything else.
[[nodiscard]] QuestionChoice parse_question_choice(const std::string& name);

inline constexpr int64_t kMostNeedles = 500;  // different questions of a family

struct FamilyRequest {
  // "needle" (all kinds of needle), "number", "word", the names of task_registry.h, "repeat"
  // (repeated_tokens.h), or "all". Kinds of needle share a grid, dealt in turn.
  std::vector<std::string> families = {"needle"};
  QuestionChoice questions = QuestionChoice::kLiteral;
  int64_t num_needles =
      0;  // different questions of a family; 0 = one per probe, at most kMostNeedles
  ProbeGridOptions grid;  // of every family; "repeat" has needles_per_cell a context length
};

[[nodiscard]] std::vector<std::string> probe_family_names();

// Probes per context length of each family asked for, kinds of needle together, controls included.
[[nodiscard]] std::vector<int64_t> probes_per_length(const FamilyRequest& request);

// The families one after the other, then the controls of all of them; ids 0, 1, …. `needles` (may
// be null) stand in for the built-in kinds, `text` (may be null) for the built-in prose. InputError
// as build_probe_grid, and for an unknown family, needles of the user's without a family that uses
// them or asked for in other words, or two probes with one prompt.
[[nodiscard]] std::vector<Probe> build_family_probes(const FamilyRequest& request,
                                                     const std::vector<Needle>* needles,
                                                     Haystack* text,
                                                     const PromptWriter& writer);

struct SharedProbes {
  std::vector<SharedGroup> groups;
  std::vector<Probe> alone;  // controls and repeated tokens: each a prompt of its own
};

// The same questions, as many as the grid has probes, with many needles to a haystack: families
// that stand in prose share theirs. grid.depths gives the number of questions only, since a group
// spreads its own. Ids go on from the groups to those alone.
[[nodiscard]] SharedProbes build_shared_family_probes(const FamilyRequest& request,
                                                      double max_share,
                                                      const std::vector<Needle>* needles,
                                                      Haystack* text,
                                                      const PromptWriter& writer);

}  // namespace headscope::profiler
