#include "profiler/trial_store.h"

#include <filesystem>
#include <utility>

#include "outputs/evaluation_file.h"
#include "outputs/profile_file.h"

namespace headscope::profiler {

TrialStore::TrialStore(std::string output, bool resume)
    : partial_path_(std::move(output) + ".partial"), resume_(resume) {}

std::optional<HeadProfile> TrialStore::load_profile() const {
  if (!resume_ || !std::filesystem::exists(partial_path_)) return std::nullopt;
  return outputs::read_profile(partial_path_);
}

std::optional<Evaluation> TrialStore::load_evaluation() const {
  if (!resume_ || !std::filesystem::exists(partial_path_)) return std::nullopt;
  return outputs::read_evaluation(partial_path_);
}

void TrialStore::save(const HeadProfile& profile) {
  outputs::write_profile(profile, partial_path_, /*overwrite=*/true);
}

void TrialStore::save(const Evaluation& evaluation) {
  outputs::write_evaluation(evaluation, partial_path_, /*overwrite=*/true);
}

void TrialStore::discard() {
  std::filesystem::remove(partial_path_);
}

}  // namespace headscope::profiler
