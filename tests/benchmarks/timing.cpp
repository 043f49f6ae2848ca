#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <fstream>
#include <sstream>

#include "analysis/quantile.h"
#include "tests/benchmarks/benchmark.h"

namespace headscope::benchmarks {
namespace {

double now_ms(Clock clock) {
  timespec t{};
  clock_gettime(clock == Clock::kWall ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) * 1e-6;
}

double milliseconds(const std::function<void()>& work, int64_t repeats, Clock clock) {
  const double started = now_ms(clock);
  for (int64_t i = 0; i < repeats; ++i) work();
  return (now_ms(clock) - started) / static_cast<double>(repeats);
}

// How often to repeat work for a millisecond of it.
int64_t repeats_for(double ms) {
  return std::clamp<int64_t>(static_cast<int64_t>(std::ceil(1.0 / std::max(ms, 1e-6))), 1, 1000);
}

double sorted_quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return analysis::quantile(values, q);
}

// How many pairs are taken whatever they cost: fewer where each takes long enough to be steady.
int64_t fewest_pairs(double pair_ms) {
  constexpr double kLongMs = 10e3;
  return pair_ms > kLongMs ? 3 : 5;
}

// Stolen time that a pair may hold, of its own.
constexpr double kStolenShare = 0.01;
constexpr double kTickMs = 10.0;

// From here on work is its own warm-up.
constexpr double kSteadyMs = 1e3;

}  // namespace

int64_t stolen_ticks() {
  std::ifstream file("/proc/stat");
  std::string line;
  std::getline(file, line);
  std::istringstream fields(line);
  std::string name;
  int64_t value = 0;
  fields >> name;
  constexpr int kSteal = 8;  // user nice system idle iowait irq softirq steal
  for (int i = 0; i < kSteal && fields >> value; ++i) {
  }
  return fields ? value : 0;
}

PairedTimes time_pairs(const std::function<void()>& ours,
                       const std::function<void()>& other,
                       const Options& options) {
  const double our_shortest = shortest_ms(ours, options);
  const double other_shortest = shortest_ms(other, options);
  const int64_t our_repeats = repeats_for(our_shortest);
  const int64_t other_repeats = repeats_for(other_shortest);
  const int64_t fewest = std::min(options.pairs, fewest_pairs(our_shortest + other_shortest));
  PairedTimes times;
  std::vector<double> our_ms, other_ms, ratio;
  const auto started = std::chrono::steady_clock::now();
  for (int64_t taken = 0; taken < 2 * options.pairs; ++taken) {
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - started;
    const auto count = static_cast<int64_t>(ratio.size());
    if (count >= options.pairs) break;
    if (count >= fewest && spent.count() > options.most_seconds) break;
    const int64_t stolen = stolen_ticks();
    double a = 0.0, b = 0.0;
    if (taken % 2 == 0) {
      a = milliseconds(ours, our_repeats, options.clock);
      b = milliseconds(other, other_repeats, options.clock);
    } else {
      b = milliseconds(other, other_repeats, options.clock);
      a = milliseconds(ours, our_repeats, options.clock);
    }
    const double stolen_ms = static_cast<double>(stolen_ticks() - stolen) * kTickMs;
    const double pair_ms =
        a * static_cast<double>(our_repeats) + b * static_cast<double>(other_repeats);
    // A machine that is never left alone is measured all the same.
    if (stolen_ms > kStolenShare * pair_ms && times.discarded < options.pairs) {
      ++times.discarded;
      continue;
    }
    our_ms.push_back(a);
    other_ms.push_back(b);
    ratio.push_back(b / a);
  }
  times.pairs = static_cast<int64_t>(ratio.size());
  times.ours_ms = sorted_quantile(our_ms, 0.5);
  times.other_ms = sorted_quantile(other_ms, 0.5);
  times.ratio = sorted_quantile(ratio, 0.5);
  times.p10 = sorted_quantile(ratio, 0.1);
  times.p90 = sorted_quantile(ratio, 0.9);
  return times;
}

double shortest_ms(const std::function<void()>& work, const Options& options) {
  constexpr int kRuns = 3;
  const double warm_up = milliseconds(work, 1, options.clock);
  if (warm_up > kSteadyMs) return warm_up;
  double best = milliseconds(work, 1, options.clock);
  for (int run = 1; run < kRuns; ++run) {
    best = std::min(best, milliseconds(work, 1, options.clock));
  }
  return best;
}

Roofs measure_roofs(const Options& options) {
  constexpr int64_t kSide = 2048;
  constexpr int64_t kFloats = int64_t{128} << 20;
  constexpr double kFlops = 2.0 * kSide * kSide * kSide;
  const auto gflops = [&](at::ScalarType dtype) {
    const at::Tensor a = at::rand({kSide, kSide}).to(dtype), b = at::rand({kSide, kSide}).to(dtype);
    at::Tensor product = at::mm(a, b);
    return kFlops / shortest_ms([&] { at::mm_out(product, a, b); }, options) / 1e6;
  };
  const at::Tensor many = at::ones({kFloats});
  const at::Tensor half = many.narrow(0, 0, kFloats / 2);
  at::Tensor copy = half.clone();
  const double bytes = static_cast<double>(many.nbytes());
  return {
      .gemm_gflops = gflops(at::kFloat),
      .gemm_bfloat16_gflops = gflops(at::kBFloat16),
      .read_gbs =
          bytes / shortest_ms([&] { static_cast<void>(many.sum().item<float>()); }, options) / 1e6,
      .copy_gbs = bytes / shortest_ms([&] { copy.copy_(half); }, options) / 1e6};
}

}  // namespace headscope::benchmarks
