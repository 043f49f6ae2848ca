#include "profiler/probe_audit.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <numeric>
#include <set>
#include <sstream>
#include <tuple>
#include <utility>

#include "outputs/input_error.h"

namespace headscope::profiler {
namespace {

constexpr double kSameLength = 1.15;    // prompts up to so much longer are of one cell
constexpr double kLargeDepthGap = 0.1;  // worth a warning
constexpr double kOftenByPrior = 0.2;   // share of controls answered, worth a warning

// The context lengths asked for, ascending; empty where the profile does not say.
std::vector<int64_t> asked_lengths(const Provenance& provenance) {
  std::vector<int64_t> lengths;
  const auto found = provenance.options.find("context_lengths");
  if (found == provenance.options.end()) return lengths;
  std::string text = found->second;
  std::replace(text.begin(), text.end(), ',', ' ');
  std::istringstream words(text);
  for (int64_t length = 0; words >> length;) lengths.push_back(length);
  std::sort(lengths.begin(), lengths.end());
  return lengths;
}

// Maps the tokens of a prompt to its cell's context length.
class LengthCells {
 public:
  explicit LengthCells(const HeadProfile& profile) : asked_(asked_lengths(profile.provenance)) {
    std::vector<int64_t> lengths;
    for (const ProbeRecord& record : profile.probes) lengths.push_back(record.context_length);
    std::sort(lengths.begin(), lengths.end(), std::greater<>());
    for (const int64_t length : lengths) {
      const bool is_new = found_.empty() || static_cast<double>(found_.back()) >
                                                static_cast<double>(length) * kSameLength;
      if (is_new) found_.push_back(length);
    }
    std::reverse(found_.begin(), found_.end());
  }

  [[nodiscard]] int64_t of(int64_t length) const {
    const auto asked = std::lower_bound(asked_.begin(), asked_.end(), length);
    return asked != asked_.end() ? *asked : *std::lower_bound(found_.begin(), found_.end(), length);
  }

 private:
  std::vector<int64_t> asked_;
  std::vector<int64_t> found_;  // longest prompts of cells, ascending
};

bool spans_in_place(const ProbeRecord& record) {
  int64_t end = 0;
  for (const TokenSpan& span : record.needle_spans) {
    if (span.begin < end || span.end <= span.begin) return false;
    end = span.end;
  }
  return end <= record.context_length && !record.answer_spans.empty() &&
         std::all_of(
             record.answer_spans.begin(), record.answer_spans.end(), [&](const TokenSpan& answer) {
               return std::any_of(record.needle_spans.begin(), record.needle_spans.end(),
                                  [&](const TokenSpan& needle) {
                                    return needle.begin <= answer.begin && answer.end <= needle.end;
                                  });
             });
}

// Every answered probe's numbers under all scores, as bytes.
std::vector<std::string> trial_rows(const HeadProfile& profile) {
  std::vector<std::string> rows;
  const size_t num_probes = profile.probes.size();
  for (size_t i = 0; i < num_probes; ++i) {
    if (!profile.probes[i].success) continue;
    std::string row;
    for (const auto& [name, table] : profile.scores) {
      const size_t width = table.samples.size() / num_probes;
      for (size_t at = i * width; at < (i + 1) * width; ++at) {
        const float value = std::isnan(table.samples[at]) ? -1.0F : table.samples[at];
        char bytes[sizeof value];
        std::memcpy(bytes, &value, sizeof value);
        row.append(bytes, sizeof value);
      }
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

FamilyAudit& family_of(ProbeAudit& audit, const std::string& name) {
  const auto found = std::find_if(audit.families.begin(), audit.families.end(),
                                  [&](const FamilyAudit& one) { return one.family == name; });
  if (found != audit.families.end()) return *found;
  audit.families.push_back({name, 0, 0, 0, 0});
  return audit.families.back();
}

std::string share(int64_t part, int64_t whole) {
  return std::to_string(part) + " of " + std::to_string(whole);
}

void add_warnings(ProbeAudit& audit) {
  std::vector<std::string>& warnings = audit.warnings;
  if (audit.num_distinct_prompts < audit.num_probes) {
    warnings.push_back("only " + share(audit.num_distinct_prompts, audit.num_probes) +
                       " prompts are different: what the others say is counted again");
  }
  if (audit.num_spans_in_place < audit.num_with_needle) {
    warnings.push_back(
        share(audit.num_with_needle - audit.num_spans_in_place, audit.num_with_needle) +
        " probes have spans that cannot be right");
  }
  if (audit.max_depth_gap > kLargeDepthGap) {
    std::ostringstream text;
    text.precision(2);
    text << "a needle stands " << audit.max_depth_gap
         << " from the asked depth: contexts are short for what is put into them";
    warnings.push_back(text.str());
  }
  for (const FamilyAudit& family : audit.families) {
    if (family.num_probes > 0 && family.num_answered == 0) {
      warnings.push_back("family " + family.family + ": no probe was answered");
    }
    if (static_cast<double>(family.num_controls_answered) >
        kOftenByPrior * static_cast<double>(family.num_controls)) {
      warnings.push_back("family " + family.family + ": " +
                         share(family.num_controls_answered, family.num_controls) +
                         " controls were answered without the needle: its answers may come from "
                         "the model's prior");
    }
  }
}

}  // namespace

ProbeAudit audit_probes(const HeadProfile& profile) {
  ProbeAudit audit;
  audit.num_probes = std::ssize(profile.probes);
  const LengthCells lengths(profile);
  std::set<std::string> prompts;
  std::map<std::tuple<std::string, int64_t, double>, ProbeCell> cells;
  double gaps = 0.0;
  for (const ProbeRecord& record : profile.probes) {
    prompts.insert(record.prompt_hash);
    FamilyAudit& family = family_of(audit, record.family);
    ++family.num_probes;
    family.num_answered += record.success ? 1 : 0;
    const int64_t length = lengths.of(record.context_length);
    ProbeCell& cell = cells[{record.family, length, record.asked_depth}];
    cell.family = record.family;
    cell.context_length = length;
    cell.depth = record.asked_depth;
    ++cell.num_probes;
    cell.num_answered += record.success ? 1 : 0;
    if (record.needle_spans.empty()) continue;
    ++audit.num_with_needle;
    audit.num_spans_in_place += spans_in_place(record) ? 1 : 0;
    const double gap = std::abs(record.achieved_depth - record.asked_depth);
    gaps += gap;
    audit.max_depth_gap = std::max(audit.max_depth_gap, gap);
  }
  audit.num_distinct_prompts = std::ssize(prompts);
  if (audit.num_with_needle > 0) {
    audit.mean_depth_gap = gaps / static_cast<double>(audit.num_with_needle);
  }
  for (const ProbeRecord& record : profile.controls.probes) {
    FamilyAudit& family = family_of(audit, record.family);
    ++family.num_controls;
    family.num_controls_answered += record.success ? 1 : 0;
    ++audit.num_controls;
    audit.num_controls_answered += record.success ? 1 : 0;
  }
  const std::vector<std::string> rows = trial_rows(profile);
  audit.num_counted = std::ssize(rows);
  audit.num_distinct_trials = std::ssize(std::set<std::string>(rows.begin(), rows.end()));
  for (auto& [key, cell] : cells) audit.cells.push_back(std::move(cell));
  add_warnings(audit);
  return audit;
}

void refuse_duplicate_prompts(const std::vector<Probe>& probes) {
  std::vector<size_t> order(probes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return probes[a].prompt < probes[b].prompt; });
  for (size_t i = 1; i < order.size(); ++i) {
    const Probe& one = probes[std::min(order[i - 1], order[i])];
    const Probe& other = probes[std::max(order[i - 1], order[i])];
    if (one.prompt == other.prompt) {
      throw InputError("probes", "a different prompt for every probe",
                       "the same for " + std::to_string(one.id) + " (" + one.needle_id + ") and " +
                           std::to_string(other.id) + " (" + other.needle_id + ")",
                       "Ask for fewer probes, or give more needles or text.");
    }
  }
}

}  // namespace headscope::profiler
