#include "profiler/probes/family_probes.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>

#include "outputs/input_error.h"
#include "profiler/needle.h"
#include "profiler/probe_audit.h"
#include "profiler/probes/repeated_tokens.h"
#include "profiler/tasks/task_registry.h"

namespace headscope::profiler {
namespace {

bool has(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// One grid: kinds of needle, or one family, or repeated tokens.
struct Series {
  std::string name;                // "needle", a task family, "repeat"
  std::vector<std::string> kinds;  // of needle
};

std::vector<Series> resolve(const std::vector<std::string>& families) {
  const std::vector<std::string> known = probe_family_names();
  std::vector<std::string> kinds;
  std::vector<Series> others;
  for (const std::string& asked : families) {
    const std::vector<std::string> meant = asked == "all" ? known : std::vector{asked};
    for (const std::string& family : meant) {
      if (!has(known, family)) {
        std::string names = "all";
        for (const std::string& name : known) names += ", " + name;
        throw InputError("--families", "families among " + names, family);
      }
      if (family == "needle") {
        const std::vector<std::string> all = needle_families();
        kinds.insert(kinds.end(), all.begin(), all.end());
      } else if (has(needle_families(), family)) {
        kinds.push_back(family);
      } else if (std::none_of(others.begin(), others.end(),
                              [&](const Series& series) { return series.name == family; })) {
        others.push_back({family, {}});
      }
    }
  }
  std::sort(kinds.begin(), kinds.end());
  kinds.erase(std::unique(kinds.begin(), kinds.end()), kinds.end());
  if (!kinds.empty()) others.insert(others.begin(), Series{"needle", kinds});
  return others;
}

void check_request(const FamilyRequest& request, const std::vector<Needle>* needles) {
  const std::vector<Series> series = resolve(request.families);
  if (series.empty()) throw InputError("--families", "at least one family", "none");
  if (request.num_needles < 0 || request.num_needles > kMostNeedles) {
    throw InputError("--num-needles", "0 to " + std::to_string(kMostNeedles),
                     std::to_string(request.num_needles));
  }
  if (needles == nullptr) return;
  if (series.front().name != "needle") {
    throw InputError("--needles", "the family needle among --families", "none that uses them");
  }
  if (request.questions != QuestionChoice::kLiteral) {
    throw InputError("--questions", "literal, with needles of your own", "another choice",
                     "Other wordings are known of the built-in needles only.");
  }
}

// Every question in the wordings asked for, one after the other.
std::vector<Question> in_wordings(QuestionChoice choice,
                                  std::vector<Question> literal,
                                  std::vector<Question> paraphrased) {
  if (choice == QuestionChoice::kLiteral) return literal;
  if (choice == QuestionChoice::kParaphrased) return paraphrased;
  std::vector<Question> both;
  for (size_t i = 0; i < literal.size(); ++i) {
    both.push_back(std::move(literal[i]));
    both.push_back(std::move(paraphrased[i]));
  }
  return both;
}

class Builder {
 public:
  Builder(const FamilyRequest& request,
          const std::vector<Needle>* needles,
          Haystack* text,
          const PromptWriter& writer)
      : request_(request), needles_(needles), text_(text), writer_(writer) {}

  // `wanted` probes use each question once, as long as there are questions.
  [[nodiscard]] std::vector<Question> questions(const Series& series, int64_t wanted) const {
    if (series.name == "needle" && needles_ != nullptr) return questions_of(*needles_);
    const bool both = request_.questions == QuestionChoice::kBoth;
    int64_t count = std::min((both ? wanted + 1 : wanted) / (both ? 2 : 1), kMostNeedles);
    if (request_.num_needles > 0) count = std::min(request_.num_needles, kMostNeedles);
    const uint64_t seed = request_.grid.seed;
    if (series.name == "needle") {
      return in_wordings(request_.questions,
                         questions_of(built_in_needles(count, seed, series.kinds)),
                         questions_of(paraphrased_needles(count, seed, series.kinds)));
    }
    const std::unique_ptr<TaskFamily> family = find_family(series.name, "--families");
    std::vector<Question> literal;
    std::vector<Question> paraphrased;
    for (int64_t i = 0; i < count; ++i) {
      literal.push_back(write_question(*family, seed, i, Wording::kLiteral));
      paraphrased.push_back(write_question(*family, seed, i, Wording::kParaphrased));
    }
    return in_wordings(request_.questions, std::move(literal), std::move(paraphrased));
  }

  [[nodiscard]] bool stands_in_prose(const Series& series) const {
    return find_family(series.name, "--families")->stands_in_prose();
  }

  // Calls use(haystack) with what the series stands in.
  template <typename Use>
  void with_haystack(const Series& series, const Use& use) {
    if (stands_in_prose(series)) {
      if (text_ == nullptr && !prose_) prose_ = Haystack::prose(request_.grid.seed);
      use(text_ != nullptr ? *text_ : *prose_);
    } else {
      Haystack own = find_family(series.name, "--families")->filler(request_.grid.seed);
      use(own);
    }
  }

  [[nodiscard]] std::vector<Probe> repeated() const {
    return build_repeated_tokens(request_.grid.context_lengths, request_.grid.needles_per_cell,
                                 request_.grid.seed, writer_.tokenizer());
  }

  [[nodiscard]] std::vector<Probe> grid(const Series& series) {
    if (series.name == kRepeatFamily) return repeated();
    std::vector<Probe> probes;
    with_haystack(series, [&](Haystack& haystack) {
      probes = build_probe_grid(request_.grid, questions(series, request_.grid.num_probes()),
                                haystack, writer_);
    });
    return probes;
  }

 private:
  const FamilyRequest& request_;
  const std::vector<Needle>* needles_;
  Haystack* text_;
  const PromptWriter& writer_;
  std::optional<Haystack> prose_;
};

// One question of each family after the other, so that every group holds of all.
std::vector<Question> interleaved(const std::vector<std::vector<Question>>& lists) {
  std::vector<Question> questions;
  size_t longest = 0;
  for (const auto& list : lists) longest = std::max(longest, list.size());
  for (size_t i = 0; i < longest; ++i) {
    for (const auto& list : lists) {
      if (i < list.size()) questions.push_back(list[i]);
    }
  }
  return questions;
}

}  // namespace

QuestionChoice parse_question_choice(const std::string& name) {
  if (name == "literal") return QuestionChoice::kLiteral;
  if (name == "paraphrased") return QuestionChoice::kParaphrased;
  if (name == "both") return QuestionChoice::kBoth;
  throw InputError("--questions", "literal, paraphrased or both", "\"" + name + "\"");
}

std::vector<std::string> probe_family_names() {
  std::vector<std::string> names = task_names();
  const std::vector<std::string> kinds = needle_families();
  names.insert(names.begin() + 1, kinds.begin(), kinds.end());
  names.push_back(kRepeatFamily);
  return names;
}

std::vector<int64_t> probes_per_length(const FamilyRequest& request) {
  const ProbeGridOptions& grid = request.grid;
  std::vector<int64_t> counts;
  for (const Series& series : resolve(request.families)) {
    const int64_t probes = static_cast<int64_t>(grid.depths.size()) * grid.needles_per_cell;
    counts.push_back(series.name == kRepeatFamily
                         ? grid.needles_per_cell
                         : probes + std::min(grid.controls_per_length, probes));
  }
  return counts;
}

std::vector<Probe> build_family_probes(const FamilyRequest& request,
                                       const std::vector<Needle>* needles,
                                       Haystack* text,
                                       const PromptWriter& writer) {
  check_request(request, needles);
  Builder builder(request, needles, text, writer);
  std::vector<Probe> probes;
  std::vector<Probe> controls;
  for (const Series& series : resolve(request.families)) {
    for (Probe& probe : builder.grid(series)) {
      (probe.is_control ? controls : probes).push_back(std::move(probe));
    }
  }
  std::move(controls.begin(), controls.end(), std::back_inserter(probes));
  for (size_t i = 0; i < probes.size(); ++i) {
    probes[i].id = static_cast<int64_t>(i);
  }
  refuse_duplicate_prompts(probes);
  return probes;
}

SharedProbes build_shared_family_probes(const FamilyRequest& request,
                                        double max_share,
                                        const std::vector<Needle>* needles,
                                        Haystack* text,
                                        const PromptWriter& writer) {
  check_request(request, needles);
  Builder builder(request, needles, text, writer);
  const int64_t per_length =
      static_cast<int64_t>(request.grid.depths.size()) * request.grid.needles_per_cell;
  SharedHaystackOptions options{request.grid.context_lengths, max_share, request.grid.seed};
  SharedProbes shared;
  const auto add_groups = [&](const Series& where, const std::vector<Question>& questions) {
    builder.with_haystack(where, [&](Haystack& haystack) {
      auto groups = build_shared_probes(options, questions, haystack, writer);
      std::move(groups.begin(), groups.end(), std::back_inserter(shared.groups));
    });
  };
  FamilyRequest fewest = request;  // what the controls are mirrored from
  fewest.grid.needles_per_cell = 1;
  Builder control_builder(fewest, needles, text, writer);
  std::vector<std::vector<Question>> in_prose;
  std::optional<Series> prose_series;
  for (const Series& series : resolve(request.families)) {
    if (series.name == kRepeatFamily) {
      for (Probe& probe : builder.repeated()) shared.alone.push_back(std::move(probe));
      continue;
    }
    if (builder.stands_in_prose(series)) {
      in_prose.push_back(builder.questions(series, per_length));
      prose_series = series;
    } else {
      add_groups(series, builder.questions(series, per_length));
    }
    if (request.grid.controls_per_length == 0) continue;
    for (Probe& probe : control_builder.grid(series)) {
      if (probe.is_control) shared.alone.push_back(std::move(probe));
    }
  }
  if (prose_series) add_groups(*prose_series, interleaved(in_prose));
  int64_t id = 0;
  for (SharedGroup& group : shared.groups) {
    for (Probe& probe : group.probes) probe.id = id++;
  }
  for (Probe& probe : shared.alone) probe.id = id++;
  return shared;
}

}  // namespace headscope::profiler
