#include <algorithm>
#include <cstdio>
#include <sstream>

#include "profiler/cli/trust_report.h"

namespace headscope::cli {
namespace {

constexpr size_t kShownHeads = 8;
constexpr size_t kNameWidth = 12;

std::string padded(const std::string& text, size_t width) {
  return text + std::string(text.size() < width ? width - text.size() : 1, ' ');
}

std::string decimal(const Json& value) {
  if (!value.is_number()) return "-";
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", value.get<double>());
  return text;
}

std::string place(const Json& layer, const Json& head) {
  return std::to_string(layer.get<int64_t>()) + "-" + std::to_string(head.get<int64_t>());
}

std::string list(const Json& numbers) {
  std::string text;
  for (const Json& number : numbers) text += (text.empty() ? "" : ", ") + number.dump();
  return text;
}

// Names down and across, "a / b" in every cell; a cell's two numbers come from two matrices.
void matrix(std::ostream& out,
            const std::string& indent,
            const Json& names,
            const Json& first,
            const Json& second) {
  size_t width = 13;
  for (const Json& name : names) width = std::max(width, name.get<std::string>().size() + 2);
  out << indent << std::string(width, ' ');
  for (const Json& name : names) out << padded(name.get<std::string>(), width);
  out << "\n";
  for (size_t row = 0; row < names.size(); ++row) {
    out << indent << padded(names[row].get<std::string>(), width);
    for (size_t column = 0; column < names.size(); ++column) {
      const std::string cell =
          row == column ? "." : decimal(first[row][column]) + " / " + decimal(second[row][column]);
      out << padded(cell, width);
    }
    out << "\n";
  }
}

void probes(std::ostream& out, const std::string& indent, const Json& trust) {
  out << indent << "probes       " << trust["num_successful"] << " of " << trust["num_probes"]
      << " count, " << trust["num_distinct_trials"] << " distinct trials";
  if (trust["num_controls"] != 0) out << "; " << trust["num_controls"] << " without a needle";
  out << "\n" << indent << "families     ";
  bool first = true;
  for (const Json& family : trust["families"]) {
    out << (first ? "" : ", ") << family["name"].get<std::string>() << " "
        << family["num_successful"] << "/" << family["num_probes"] << " (" << family["num_needles"]
        << " needles)";
    first = false;
  }
  out << "; mix " << trust["mix"].get<std::string>() << "\n";
}

void stability(std::ostream& out, const std::string& indent, const Json& trust) {
  out << indent
      << "stability    two halves of the probes: rank correlation / overlap of the top "
         "10 %, and expected of a repetition\n";
  for (const auto& [name, figures] : trust["stability"].items()) {
    out << indent << "  " << padded(name, kNameWidth) << decimal(figures["split_half_spearman"])
        << " / " << decimal(figures["split_half_top_jaccard"]) << ", "
        << decimal(figures["repetition_spearman"]) << " / "
        << decimal(figures["repetition_top_jaccard"]) << "  (" << figures["num_probes"]
        << " probes, " << figures["num_needles"] << " needles)\n";
  }
}

void by_num_probes(std::ostream& out,
                   const std::string& indent,
                   const Json& trust,
                   const std::string& score) {
  const Json& curve = trust["stability"][score]["by_num_probes"];
  if (curve.size() < 2) return;
  out << indent << "halves by number of probes, " << score << ": ";
  for (size_t i = 0; i < curve.size(); ++i) {
    out << (i ? ", " : "") << curve[i]["num_probes"] << ": " << decimal(curve[i]["spearman"])
        << " / " << decimal(curve[i]["top_jaccard"]);
  }
  out << "\n";
}

void agreements(std::ostream& out,
                const std::string& indent,
                const Json& trust,
                const std::string& score) {
  const Json& families = trust["family_agreement"][score];
  if (families["families"].size() > 1) {
    out << indent << "families by " << score << ": rank correlation / overlap of the top 10 %\n";
    matrix(out, indent + "  ", families["families"], families["spearman"], families["top_jaccard"]);
    out << indent
        << "a selection by one family alone (row) misses of another's top 10 %: heads / "
           "score mass\n";
    matrix(out, indent + "  ", families["families"], families["missed_heads"],
           families["missed_mass"]);
  }
  const Json& scores = trust["score_agreement"];
  if (scores["scores"].size() > 1) {
    out << indent << "scores: rank correlation / overlap of the top 10 %\n";
    matrix(out, indent + "  ", scores["scores"], scores["spearman"], scores["top_jaccard"]);
  }
}

void selected(std::ostream& out,
              const std::string& indent,
              const Json& trust,
              const std::string& score) {
  const Json& intervals = trust["intervals"][score]["heads"];
  const Json& heads = trust["selected_heads"]["heads"];
  out << indent << "top heads    by " << score << ": score [95 % interval over needles], attention "
      << "on the first 4 and the last 64 tokens\n";
  for (size_t i = 0; i < kShownHeads && i < heads.size() && i < intervals.size(); ++i) {
    out << indent << "  " << padded(place(heads[i]["layer"], heads[i]["head"]), 8)
        << decimal(heads[i]["score"]) << " [" << decimal(intervals[i][3]) << ", "
        << decimal(intervals[i][4]) << "]  sink " << decimal(heads[i]["sink"]) << "  recent "
        << decimal(heads[i]["recency"]) << "\n";
  }
  const Json& kv_heads = trust["kv_heads"][score];
  out << indent << "KV heads     by " << score << ", " << kv_heads["reduction"].get<std::string>()
      << " over the group's query heads:";
  for (size_t i = 0; i < kShownHeads && i < kv_heads["heads"].size(); ++i) {
    const Json& head = kv_heads["heads"][i];
    out << (i ? ", " : " ") << place(head[0], head[1]) << " " << decimal(head[2]);
  }
  out << "\n";
}

void until_stable(std::ostream& out, const std::string& indent, const Json& trust) {
  const Json& stop = trust["until_stable"];
  if (stop.is_null()) return;
  out << indent
      << (stop["stopped"].get<bool>() ? "stopped      stable: " : "not stable   no probe is left: ")
      << stop["reason"].get<std::string>() << "\n";
}

void verdict(std::ostream& out, const std::string& indent, const Json& trust) {
  const Json& verdict = trust["verdict"];
  out << indent << "verdict      ";
  if (!verdict["judged"].get<bool>()) {
    out << "none\n";
  } else {
    out << (verdict["model_retrieves"].get<bool>() ? "the model has retrieval heads: "
                                                   : "no retrieval heads shown: ")
        << verdict["num_heads"] << " heads whose interval lies above "
        << decimal(verdict["threshold"]);
    if (verdict["has_controls"].get<bool>()) {
      out << " (without a needle, 99 % of the heads stay below "
          << decimal(verdict["control_level"]) << ")";
    }
    const Json& random = verdict["random_heads"];
    out << "\n"
        << indent << "             top 10 % chosen by one half of the needles, on the other half: "
        << decimal(random["top_mean"]) << "; random heads of the same layers "
        << decimal(random["random_mean"]) << " (99 % below " << decimal(random["random_high"])
        << ")\n";
    out << indent << "             per layer: " << list(verdict["heads_per_layer"]) << "\n";
    if (!verdict["selector_fallback"].empty()) {
      out << indent << "             a selector falls back to all heads in layers "
          << list(verdict["selector_fallback"]) << "\n";
    }
  }
  for (const Json& note : verdict["notes"]) {
    out << indent << "             " << note.get<std::string>() << "\n";
  }
}

}  // namespace

std::string trust_text(const Json& trust, const std::string& indent) {
  std::ostringstream out;
  probes(out, indent, trust);
  const Json& score = trust["selected_heads"]["score"];
  if (score.is_string() && trust["num_successful"] != 0) {
    const auto name = score.get<std::string>();
    stability(out, indent, trust);
    by_num_probes(out, indent, trust, name);
    agreements(out, indent, trust, name);
    selected(out, indent, trust, name);
    until_stable(out, indent, trust);
    verdict(out, indent, trust);
    if (!trust["unscored_layers"].empty()) {
      out << indent << "not scored   layers " << list(trust["unscored_layers"])
          << ": their sliding window does not hold the context\n";
    }
  }
  for (const Json& warning : trust["warnings"]) {
    out << indent << "warning      " << warning.get<std::string>() << "\n";
  }
  return out.str();
}

}  // namespace headscope::cli
