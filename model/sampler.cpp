#include "model/sampler.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "outputs/input_error.h"

namespace headscope::model {
namespace {

struct Candidate {
  int64_t id = 0;
  double weight = 0.0;  // logit, then exp of the scaled logit
};

bool likelier(const Candidate& a, const Candidate& b) {
  return a.weight > b.weight || (a.weight == b.weight && a.id < b.id);
}

int64_t argmax(std::span<const float> logits) {
  size_t best = logits.size();
  for (size_t id = 0; id < logits.size(); ++id) {
    if (std::isnan(logits[id])) continue;
    if (best == logits.size() || logits[id] > logits[best]) best = id;
  }
  if (best == logits.size()) {
    throw InputError("logits", "numbers", "only NaN",
                     "The weights are broken, or --dtype float32 is needed.");
  }
  return static_cast<int64_t>(best);
}

std::vector<Candidate> ranked_candidates(std::span<const float> logits, int64_t top_k) {
  std::vector<Candidate> candidates;
  candidates.reserve(logits.size());
  for (size_t id = 0; id < logits.size(); ++id) {
    if (!std::isnan(logits[id])) candidates.push_back({static_cast<int64_t>(id), logits[id]});
  }
  const auto kept =
      top_k == 0 ? candidates.size() : std::min(candidates.size(), static_cast<size_t>(top_k));
  const auto cut = candidates.begin() + static_cast<std::ptrdiff_t>(kept);
  std::partial_sort(candidates.begin(), cut, candidates.end(), likelier);
  candidates.resize(kept);
  return candidates;
}

double uniform(std::mt19937_64& random) {  // std::uniform_real_distribution
                                           // differs by library
  return static_cast<double>(random() >> 11) * 0x1.0p-53;
}

}  // namespace

Sampler::Sampler(const SamplingOptions& options) : options_(options), random_(options.seed) {
  if (!(options.temperature >= 0.0) || std::isinf(options.temperature)) {
    throw InputError("temperature", "a number >= 0", std::to_string(options.temperature));
  }
  if (options.top_k < 0) throw InputError("top-k", "a number >= 0", std::to_string(options.top_k));
  if (!(options.top_p > 0.0 && options.top_p <= 1.0)) {
    throw InputError("top-p", "a number above 0 and up to 1", std::to_string(options.top_p));
  }
}

int64_t Sampler::next(const at::Tensor& logits) {
  const at::Tensor row = logits.to(at::kCPU, at::kFloat).reshape({-1}).contiguous();
  const std::span<const float> values(row.const_data_ptr<float>(),
                                      static_cast<size_t>(row.numel()));
  const int64_t best = argmax(values);
  if (options_.temperature == 0.0) return best;

  std::vector<Candidate> candidates = ranked_candidates(values, options_.top_k);
  const double top = candidates.front().weight;
  double total = 0.0;
  for (Candidate& candidate : candidates) {
    candidate.weight = std::exp((candidate.weight - top) / options_.temperature);
    total += candidate.weight;
  }
  double nucleus = 0.0;
  size_t kept = 0;
  while (kept < candidates.size() && (kept == 0 || nucleus < options_.top_p * total)) {
    nucleus += candidates[kept++].weight;
  }
  double left = uniform(random_) * nucleus;
  for (size_t i = 0; i < kept; ++i) {
    left -= candidates[i].weight;
    if (left < 0.0) return candidates[i].id;
  }
  return candidates[kept - 1].id;
}

}  // namespace headscope::model
