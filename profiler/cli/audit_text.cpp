#include "profiler/cli/audit_text.h"

#include <algorithm>
#include <iomanip>
#include <map>
#include <set>
#include <sstream>
#include <utility>

namespace headscope::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMostDepths = 12;  // columns; more depths are summed up in one

std::string share(int64_t part, int64_t whole) {
  return std::to_string(part) + "/" + std::to_string(whole);
}

std::string padded(const std::string& text, size_t width) {
  return text + std::string(text.size() < width ? width - text.size() : 1, ' ');
}

std::string depth_text(double depth) {
  std::ostringstream text;
  text << std::setprecision(2) << depth;
  return text.str();
}

using Counts = std::pair<int64_t, int64_t>;  // answered, asked

void write_table(std::ostringstream& text, const profiler::ProbeAudit& audit) {
  std::set<double> depths;
  for (const auto& cell : audit.cells) depths.insert(cell.depth);
  const bool by_depth = depths.size() <= kMostDepths;
  std::map<std::pair<std::string, int64_t>, std::map<double, Counts>> rows;
  for (const auto& cell : audit.cells) {
    Counts& counts = rows[{cell.family, cell.context_length}][by_depth ? cell.depth : 0.0];
    counts.first += cell.num_answered;
    counts.second += cell.num_probes;
  }
  text << padded("  answered of asked", 28) << padded("tokens", 8);
  if (by_depth) {
    for (const double depth : depths) text << padded("@" + depth_text(depth), 8);
  } else {
    text << "all " << depths.size() << " depths";
  }
  text << "\n";
  for (const auto& [row, counts] : rows) {
    text << "  " << padded(row.first, 26) << padded(std::to_string(row.second), 8);
    if (!by_depth) depths = {0.0};
    for (const double depth : depths) {
      const auto found = counts.find(depth);
      text << padded(found == counts.end() ? "-" : share(found->second.first, found->second.second),
                     8);
    }
    text << "\n";
  }
}

}  // namespace

Json audit_json(const profiler::ProbeAudit& audit) {
  Json json{{"probes", audit.num_probes},
            {"distinct_prompts", audit.num_distinct_prompts},
            {"counted", audit.num_counted},
            {"distinct_trials", audit.num_distinct_trials},
            {"with_needle", audit.num_with_needle},
            {"spans_in_place", audit.num_spans_in_place},
            {"depth_gap", {{"mean", audit.mean_depth_gap}, {"max", audit.max_depth_gap}}},
            {"controls", audit.num_controls},
            {"controls_answered", audit.num_controls_answered},
            {"families", Json::array()},
            {"cells", Json::array()},
            {"warnings", audit.warnings}};
  for (const profiler::FamilyAudit& family : audit.families) {
    json["families"].push_back({{"family", family.family},
                                {"probes", family.num_probes},
                                {"answered", family.num_answered},
                                {"controls", family.num_controls},
                                {"controls_answered", family.num_controls_answered}});
  }
  for (const profiler::ProbeCell& cell : audit.cells) {
    json["cells"].push_back({{"family", cell.family},
                             {"context_length", cell.context_length},
                             {"depth", cell.depth},
                             {"probes", cell.num_probes},
                             {"answered", cell.num_answered}});
  }
  return json;
}

std::string audit_text(const profiler::ProbeAudit& audit) {
  std::ostringstream text;
  text << "audit        " << audit.num_probes << " probes, " << audit.num_distinct_prompts
       << " different prompts, " << audit.num_distinct_trials << " distinct trials of "
       << audit.num_counted << " that count; spans in place "
       << share(audit.num_spans_in_place, audit.num_with_needle) << std::setprecision(2)
       << "; depth off by " << audit.mean_depth_gap << " on average, " << audit.max_depth_gap
       << " at most\n";
  if (audit.num_controls > 0) {
    text << "  controls without the needle: " << audit.num_controls_answered << " of "
         << audit.num_controls << " answered\n";
  }
  write_table(text, audit);
  for (const std::string& warning : audit.warnings) text << "  warning: " << warning << "\n";
  return text.str();
}

}  // namespace headscope::cli
