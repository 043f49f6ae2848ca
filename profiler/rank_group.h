// The processes that share a run. What they share is little: counters that hand out work, places to
// wait for each other, and words from rank 0 to the others.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>

namespace headscope::profiler {

// Another process of the run, or the store that they share, is gone: this one cannot end the run.
// What it finished is saved.
class RankLost : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

using Cancelled = std::function<bool()>;  // asked while waiting

// Every function but rank() and size() throws RankLost.
class RankGroup {
 public:
  virtual ~RankGroup() = default;
  [[nodiscard]] virtual int rank() const = 0;  // 0 … size - 1
  [[nodiscard]] virtual int size() const = 0;

  // A prefix for the names of one run's counters and places. Every rank must ask equally often.
  [[nodiscard]] std::string next_scope() { return "run" + std::to_string(num_scopes_++) + "/"; }

  // The next number of a counter, 0, 1, 2, …; every number goes to one rank only.
  [[nodiscard]] virtual int64_t draw(const std::string& counter) = 0;
  // How many were drawn, by all ranks.
  [[nodiscard]] virtual int64_t drawn(const std::string& counter) = 0;

  // Waits until every rank has come here (each comes once). False where it was cancelled.
  [[nodiscard]] virtual bool meet(const std::string& place, const Cancelled& cancelled) = 0;
  // Rank 0 says `word` and hears it; the others wait for it. None where that was cancelled.
  [[nodiscard]] virtual std::optional<std::string> agree(const std::string& topic,
                                                         const std::string& word,
                                                         const Cancelled& cancelled) = 0;

 private:
  int64_t num_scopes_ = 0;
};

// One process on its own.
class SoloRank final : public RankGroup {
 public:
  [[nodiscard]] int rank() const override { return 0; }
  [[nodiscard]] int size() const override { return 1; }
  [[nodiscard]] int64_t draw(const std::string& counter) override { return counters_[counter]++; }
  [[nodiscard]] int64_t drawn(const std::string& counter) override { return counters_[counter]; }
  [[nodiscard]] bool meet(const std::string&, const Cancelled&) override { return true; }
  [[nodiscard]] std::optional<std::string> agree(const std::string&,
                                                 const std::string& word,
                                                 const Cancelled&) override {
    return word;
  }

 private:
  std::map<std::string, int64_t> counters_;
};

}  // namespace headscope::profiler
