// What an op's benchmark is: cases that check themselves against an oracle, then time our way
// beside the others in interleaved pairs.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <vector>

namespace headscope::benchmarks {

// Ratios of baseline time / our time.
struct PairedTimes {
  double ours_ms = 0.0;   // median
  double other_ms = 0.0;  // median
  double ratio = 0.0;     // median of the pairs' ratios
  double p10 = 0.0;
  double p90 = 0.0;
  int64_t pairs = 0;      // that counted
  int64_t discarded = 0;  // the host took processor time away meanwhile
};

// kWall is the record's clock. kProcessor counts the time of this process on all its threads: with
// one thread it tells the ways apart on a machine that others use as well.
enum class Clock { kWall, kProcessor };
// The probes of a head profile: depths 0..1 x context lengths x needles.
struct ProfileGrid {
  int64_t depths = 10;
  std::vector<int64_t> context_lengths = {512, 1024, 2048};
  int64_t needles = 2;
};

struct Options {
  bool check_only = false;     // oracles on small cases, no times
  int64_t pairs = 21;          // wanted per comparison
  double most_seconds = 20.0;  // per comparison; 5 pairs are taken all the same, 3 of over 10 s
  Clock clock = Clock::kWall;
  // Of the ops "profile" and "prefill": a model and a Python with transformers (empty = without).
  // Of "profile": its probes, and how often every way of making the profile is run.
  std::string model, python;
  ProfileGrid grid;
  int64_t rounds = 3;
};

// Runs both once to warm up, then in the order ours, other, other, ours, … Short work is repeated
// within a pair until it takes a millisecond. Pairs during which /proc/stat shows more than a
// hundredth of their time stolen are taken again, up to as many as were wanted.
[[nodiscard]] PairedTimes time_pairs(const std::function<void()>& ours,
                                     const std::function<void()>& other,
                                     const Options& options);

// The shortest of a few runs; of work that takes more than a second, the first.
[[nodiscard]] double shortest_ms(const std::function<void()>& work, const Options& options);
// Processor ticks (1/100 s) that the host gave to others, all cores together; 0 where the system
// does not say.
[[nodiscard]] int64_t stolen_ticks();

inline constexpr double kNotMeasured = std::numeric_limits<double>::quiet_NaN();

// One line of the benchmark record (docs/cli.md). NaN = not compared.
struct Row {
  std::string op;         // its name in kernels/ops.h
  std::string case_name;  // sizes
  std::string dtype;
  double ours_ms = kNotMeasured;
  double b0_ms = kNotMeasured, b1_ms = kNotMeasured;  // the peer's sequence, LibTorch's best
  double ratio_b0 = kNotMeasured, ratio_b1 = kNotMeasured;
  double p10 = kNotMeasured, p90 = kNotMeasured;  // of ratio_b0
  // Of the machine's GEMM rate or read bandwidth, whichever binds.
  double fraction_of_roof = kNotMeasured;
  std::map<std::string, double> more;  // further figures, named with their unit
};

// What this machine can do, measured in the same run: best of several.
struct Roofs {
  double gemm_gflops = 0.0;           // float32 product of 2048 x 2048 matrices
  double gemm_bfloat16_gflops = 0.0;  // the same in bfloat16
  double read_gbs = 0.0;              // sum over 512 MB
  double copy_gbs = 0.0;              // copy of 256 MB, bytes read and written
};
[[nodiscard]] Roofs measure_roofs(const Options& options);

using Benchmark = std::function<std::vector<Row>(const Options& options, const Roofs& roofs)>;

// By op name. A benchmark throws std::runtime_error where our result leaves its oracle.
[[nodiscard]] const std::map<std::string, Benchmark>& benchmark_registry();

std::vector<Row> benchmark_causal_attention(const Options& options, const Roofs& roofs);
std::vector<Row> benchmark_compact_kv(const Options& options, const Roofs& roofs);
std::vector<Row> benchmark_decode(const Options& options, const Roofs& roofs);
std::vector<Row> benchmark_error_curve(const Options& options, const Roofs& roofs);
std::vector<Row> benchmark_first_token(const Options& options, const Roofs& roofs);
std::vector<Row> benchmark_prefill(const Options& options, const Roofs& roofs);
std::vector<Row> benchmark_ragged_attention(const Options& options, const Roofs& roofs);
std::vector<Row> benchmark_select_retained(const Options& options, const Roofs& roofs);
std::vector<Row> benchmark_span_attention(const Options& options, const Roofs& roofs);
std::vector<Row> benchmark_top_attended(const Options& options, const Roofs& roofs);
std::vector<Row> benchmark_window_importance(const Options& options, const Roofs& roofs);
std::vector<Row> benchmark_profile(const Options& options, const Roofs& roofs);

}  // namespace headscope::benchmarks
