#include "analysis/probe_samples.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <sstream>
#include <stdexcept>

#include "analysis/clustered_scores.h"
#include "outputs/input_error.h"

namespace headscope::analysis {

void ProbeSamples::validate() const {
  const auto probes = static_cast<size_t>(num_probes());
  if (num_heads < 1 || values.size() != probes * static_cast<size_t>(num_heads) ||
      (!clusters.empty() && clusters.size() != probes) ||
      (!families.empty() && families.size() != probes)) {
    throw std::invalid_argument(
        "probe samples: expected values [num_probes, num_heads] and a cluster and a family per "
        "probe, or none");
  }
}

ProbeSamples probe_samples(const std::vector<ProbeRecord>& probes,
                           const std::vector<float>& values,
                           int64_t num_heads) {
  ProbeSamples samples;
  samples.num_heads = num_heads;
  samples.values = values;
  for (const ProbeRecord& probe : probes) {
    samples.clusters.push_back(probe.family + "/" + probe.needle_id);
    samples.families.push_back(probe.family);
  }
  return samples;
}

FamilyMix parse_family_mix(const std::string& text) {
  FamilyMix mix;
  if (text == "equal") return mix;
  std::istringstream parts(text);
  double total = 0.0;
  for (std::string part; std::getline(parts, part, ',');) {
    const size_t equals = part.rfind('=');
    double weight = -1.0;
    size_t used = 0;
    if (equals != std::string::npos && equals > 0) {
      try {
        weight = std::stod(part.substr(equals + 1), &used);
      } catch (const std::logic_error&) {
        used = 0;
      }
    }
    if (used == 0 || used + equals + 1 != part.size() || !std::isfinite(weight) || weight < 0.0 ||
        !mix.emplace(part.substr(0, equals), weight).second) {
      throw InputError("family mix", "family=weight pairs, weights 0 or more, each family once",
                       "\"" + part + "\"");
    }
    total += weight;
  }
  if (!mix.empty() && !(total > 0.0)) {
    throw InputError("family mix", "a weight above 0", "\"" + text + "\"");
  }
  return mix;
}

std::string format_family_mix(const FamilyMix& mix) {
  if (mix.empty()) return "equal";
  std::ostringstream text;
  for (const auto& [family, weight] : mix) {
    text << (text.tellp() > 0 ? "," : "") << family << "=" << weight;
  }
  return text.str();
}

FamilyMix family_mix_of(const Provenance& provenance) {
  const auto option = provenance.options.find(kFamilyMixOption);
  return option == provenance.options.end() ? FamilyMix{} : parse_family_mix(option->second);
}

void check_family_mix(const FamilyMix& mix, const std::vector<std::string>& families) {
  for (const auto& [family, weight] : mix) {
    if (std::find(families.begin(), families.end(), family) != families.end()) continue;
    std::string known;
    for (const std::string& name : std::set<std::string>(families.begin(), families.end())) {
      known += (known.empty() ? "" : ", ") + name;
    }
    throw InputError("family mix", "families of these probes: " + known, "\"" + family + "\"");
  }
}

std::vector<double> mixed_mean(const ProbeSamples& samples, const FamilyMix& mix) {
  const ClusteredScores scores(samples, mix);
  return scores.mean(scores.all());
}

}  // namespace headscope::analysis
