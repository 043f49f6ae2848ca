// A whole head profile, the grid of depths x context lengths x needles, by our two modes against
//   B0  other projects' schedule in transformers, float32 (transformers_schedule.py)
//   B1  the same schedule with our own model, float32 (profile_arms.h): what is left of the ratio
//       is the schedule, and B0 / B1 is our model's own speed
// Without a model the hand-made one stands in, which is what --check uses. No figure is reported
// unless the arms agree on the answers and scores.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>

#include "analysis/quantile.h"
#include "analysis/rank_correlation.h"
#include "model/model.h"
#include "profiler/planted_model.h"
#include "profiler/probes/family_probes.h"
#include "profiler/prompt_format.h"
#include "profiler/temporary_folder.h"
#include "tests/benchmarks/benchmark.h"
#include "tests/benchmarks/profile_arms.h"

namespace headscope::benchmarks {
namespace {

using profiler::Probe;
using profiler::ProfileMode;

constexpr double kNeedleShare = 0.4;  // the default of `headscope profile`

profiler::FamilyRequest request_of(const ProfileGrid& grid) {
  profiler::FamilyRequest request;
  request.grid.context_lengths = grid.context_lengths;
  request.grid.depths.clear();
  for (int64_t i = 0; i < grid.depths; ++i) {
    request.grid.depths.push_back(
        grid.depths == 1 ? 0.5 : static_cast<double>(i) / static_cast<double>(grid.depths - 1));
  }
  request.grid.needles_per_cell = grid.needles;
  return request;
}

// The model at both dtypes, and the probes of both modes.
struct Bench {
  std::unique_ptr<profiler::TemporaryFolder> planted;
  std::unique_ptr<model::ModelSource> source;
  std::unique_ptr<model::Tokenizer> tokenizer;
  ModelIdentity identity;
  std::unique_ptr<model::Decoder> float32, bfloat16;
  std::vector<Probe> exact, shared;

  Bench(const std::string& path, const ProfileGrid& grid) {
    std::string opened = path;
    if (path.empty()) {
      planted = std::make_unique<profiler::TemporaryFolder>();
      opened = planted->path().string();
      profiler::write_planted_model({}, opened);
    }
    source = model::open_model_source(opened);
    tokenizer = source->open_tokenizer();
    identity = model::identity_of(*source);
    const auto load = [&](at::ScalarType dtype) {
      return std::make_unique<model::Decoder>(source->config(), source->weights(), dtype, at::kCPU);
    };
    float32 = load(at::kFloat);
    bfloat16 = load(at::kBFloat16);
    const profiler::PromptWriter writer(*tokenizer, source->chat_template());
    const profiler::FamilyRequest request = request_of(grid);
    exact = profiler::build_family_probes(request, nullptr, nullptr, writer);
    for (auto& group :
         profiler::build_shared_family_probes(request, kNeedleShare, nullptr, nullptr, writer)
             .groups) {
      std::move(group.probes.begin(), group.probes.end(), std::back_inserter(shared));
    }
  }

  [[nodiscard]] profiler::MeasuredModel model(at::ScalarType dtype) const {
    return {dtype == at::kFloat ? *float32 : *bfloat16, *tokenizer, identity};
  }

  [[nodiscard]] ArmResult ours(ProfileMode mode, at::ScalarType dtype) const {
    profiler::ProfileOptions options;
    options.mode = mode;
    return run_profiler(model(dtype), mode == ProfileMode::kExact ? exact : shared, options);
  }
};

// The largest difference of a sample that both have.
double largest_difference(const ArmResult& a, const ArmResult& b) {
  double worst = 0.0;
  for (size_t probe = 0; probe < a.srh.size(); ++probe) {
    if (a.srh[probe].size() != b.srh[probe].size()) continue;
    for (size_t head = 0; head < a.srh[probe].size(); ++head) {
      const double gap = std::abs(a.srh[probe][head] - b.srh[probe][head]);
      if (!std::isnan(gap)) worst = std::max(worst, gap);
    }
  }
  return worst;
}

double rank_correlation(const ArmResult& a, const ArmResult& b) {
  return analysis::spearman(mean_srh(a), mean_srh(b));
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return analysis::quantile(values, 0.5);
}

// All arms, timed over rounds; every second round runs them backwards.
struct Timed {
  std::map<std::string, ArmResult> last;
  std::map<std::string, std::vector<double>> seconds;
  double stolen_seconds = 0.0;

  // Quantile q of base / ours, over the rounds.
  [[nodiscard]] double ratio(const std::string& base, const std::string& ours, double q) const {
    if (seconds.count(base) == 0) return kNotMeasured;
    std::vector<double> ratios;
    for (size_t i = 0; i < seconds.at(ours).size(); ++i) {
      ratios.push_back(seconds.at(base)[i] / seconds.at(ours)[i]);
    }
    std::sort(ratios.begin(), ratios.end());
    return analysis::quantile(ratios, q);
  }
  [[nodiscard]] double ms(const std::string& arm) const {
    return seconds.count(arm) > 0 ? 1e3 * median(seconds.at(arm)) : kNotMeasured;
  }
};

Timed time_arms(const Bench& bench, const Options& options) {
  std::vector<std::pair<std::string, std::function<ArmResult()>>> arms;
  const ArmResult first = run_peer_schedule(bench.model(at::kFloat), bench.exact);  // warm; answers
  if (!options.python.empty()) {
    arms.emplace_back("transformers", [&] {
      return run_transformers(options.python, bench.source->path(), bench.exact, first.answers);
    });
  }
  arms.emplace_back("own schedule",
                    [&] { return run_peer_schedule(bench.model(at::kFloat), bench.exact); });
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const std::string name = dtype == at::kFloat ? " float32" : " bfloat16";
    arms.emplace_back("exact" + name,
                      [&bench, dtype] { return bench.ours(ProfileMode::kExact, dtype); });
    arms.emplace_back("shared" + name,
                      [&bench, dtype] { return bench.ours(ProfileMode::kShared, dtype); });
  }
  Timed timed;
  const int64_t stolen = stolen_ticks();
  for (int64_t round = 0; round < options.rounds; ++round) {
    for (const auto& [name, run] : arms) {
      timed.last[name] = run();
      timed.seconds[name].push_back(timed.last[name].seconds);
      std::cerr << "profile: " << name << " " << timed.last[name].seconds << " s\n";
    }
    std::reverse(arms.begin(), arms.end());
  }
  timed.stolen_seconds = static_cast<double>(stolen_ticks() - stolen) / 100.0;
  return timed;
}

// Exact mode gives what the peers' schedule gives, in our model and in transformers.
void check_agreement(const Bench& bench, const Timed& timed, double bound) {
  const ArmResult& ours = timed.last.at("exact float32");
  const auto check = [&](const std::string& arm) {
    if (timed.last.count(arm) == 0) return;
    const double gap = largest_difference(ours, timed.last.at(arm));
    if (gap > bound) {
      throw std::runtime_error("profile: exact mode leaves " + arm + " by " + std::to_string(gap));
    }
  };
  check("own schedule");
  check("transformers");
  if (timed.last.count("transformers") > 0 &&
      timed.last.at("transformers").answers != timed.last.at("own schedule").answers) {
    throw std::runtime_error("profile: transformers answers otherwise");
  }
  int64_t compared = 0;
  for (const auto& sample : ours.srh) compared += !sample.empty() && !std::isnan(sample[0]);
  if (compared * 2 < std::ssize(bench.exact)) {
    throw std::runtime_error("profile: less than half of the probes were answered");
  }
}

Row row_of(const Bench& bench, const Timed& timed, ProfileMode mode, const std::string& dtype) {
  const std::string arm = profiler::mode_name(mode) + " " + dtype;
  int64_t tokens = 0;
  for (const Probe& probe : bench.exact) tokens += std::ssize(probe.prompt);
  Row row{"profile",
          profiler::mode_name(mode) + ", " + std::to_string(bench.exact.size()) + " probes of " +
              bench.identity.name,
          dtype,
          timed.ms(arm),
          timed.ms("transformers"),
          timed.ms("own schedule"),
          timed.ratio("transformers", arm, 0.5),
          timed.ratio("own schedule", arm, 0.5),
          timed.ratio("transformers", arm, 0.1),
          timed.ratio("transformers", arm, 0.9),
          kNotMeasured,
          {}};
  row.more["rounds"] = static_cast<double>(timed.seconds.at(arm).size());
  row.more["stolen_seconds"] = timed.stolen_seconds;
  row.more["prompt_tokens"] = static_cast<double>(tokens);
  row.more["own_model_speed"] = timed.ratio("transformers", "own schedule", 0.5);
  row.more["spearman_to_float32"] =
      rank_correlation(timed.last.at(arm), timed.last.at(profiler::mode_name(mode) + " float32"));
  row.more["spearman_to_exact"] =
      rank_correlation(timed.last.at(arm), timed.last.at("exact float32"));
  row.more["processor_has_bf16"] = __builtin_cpu_supports("avx512bf16") ? 1.0 : 0.0;
  if (timed.last.count("transformers") > 0 && mode == ProfileMode::kExact) {
    row.more["largest_difference_to_transformers"] =
        largest_difference(timed.last.at(arm), timed.last.at("transformers"));
  }
  return row;
}

}  // namespace

std::vector<Row> benchmark_profile(const Options& options, const Roofs&) {
  const bool small = options.check_only || options.model.empty();
  const Bench bench(options.model, small ? ProfileGrid{3, {256}, 2} : options.grid);
  Options once = options;
  if (options.check_only) once.rounds = 1;
  const Timed timed = time_arms(bench, once);
  // Weights of 16 bits and four of them to a sum of 64 terms or so, in float32 on both sides.
  check_agreement(bench, timed, 1e-4);
  std::vector<Row> rows;
  for (const std::string dtype : {"float32", "bfloat16"}) {
    for (const ProfileMode mode : {ProfileMode::kExact, ProfileMode::kShared}) {
      rows.push_back(row_of(bench, timed, mode, dtype));
    }
  }
  if (options.check_only) rows.clear();
  return rows;
}

}  // namespace headscope::benchmarks
