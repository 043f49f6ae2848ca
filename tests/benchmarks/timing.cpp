#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <sstream>

#include "analysis/quantile.h"
#include "tests/benchmarks/benchmark.h"

namespace headscope::benchmarks {
namespace {

double milliseconds(const std::function<void()>& work) {
  const auto started = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - started)
      .count();
}

double sorted_quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return analysis::quantile(values, q);
}

constexpr int64_t kFewestPairs = 5;

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
  ours();
  other();
  PairedTimes times;
  std::vector<double> our_ms, other_ms, ratio;
  const auto started = std::chrono::steady_clock::now();
  for (int64_t taken = 0; taken < 2 * options.pairs; ++taken) {
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - started;
    const auto count = static_cast<int64_t>(ratio.size());
    if (count >= options.pairs) break;
    if (count >= kFewestPairs && spent.count() > options.most_seconds) break;
    const int64_t stolen = stolen_ticks();
    double a = 0.0, b = 0.0;
    if (taken % 2 == 0) {
      a = milliseconds(ours);
      b = milliseconds(other);
    } else {
      b = milliseconds(other);
      a = milliseconds(ours);
    }
    // A machine that is never left alone is measured all the same.
    if (stolen_ticks() > stolen && times.discarded < options.pairs) {
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

Roofs measure_roofs() {
  constexpr int64_t kSide = 2048;
  constexpr int64_t kFloats = int64_t{128} << 20;
  const at::Tensor a = at::rand({kSide, kSide}), b = at::rand({kSide, kSide});
  at::Tensor product = at::mm(a, b);
  const at::Tensor many = at::ones({kFloats});
  Roofs roofs;
  for (int round = 0; round < 5; ++round) {
    const double gemm_ms = milliseconds([&] { at::mm_out(product, a, b); });
    roofs.gemm_gflops = std::max(roofs.gemm_gflops, 2.0 * kSide * kSide * kSide / gemm_ms / 1e6);
    const double read_ms = milliseconds([&] { static_cast<void>(many.sum().item<float>()); });
    roofs.read_gbs =
        std::max(roofs.read_gbs, static_cast<double>(kFloats) * sizeof(float) / read_ms / 1e6);
  }
  return roofs;
}

}  // namespace headscope::benchmarks
