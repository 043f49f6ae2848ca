#include "tests/benchmarks/compared_case.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <iostream>
#include <stdexcept>

namespace headscope::benchmarks {
namespace {

void check_way(const ComparedCase& c, const Way& way, const Results& oracle) {
  const Results found = way.run();
  for (size_t i = 0; i < std::min(found.size(), oracle.size()); ++i) {
    const auto canonical = [&](const at::Tensor& t) { return c.canonical ? c.canonical(t) : t; };
    expect_close(c.op + ", " + c.name + ", " + dtype_name(c.dtype) + ": " + way.name,
                 canonical(found[i]), canonical(oracle[i]), way.tolerance);
  }
}

const Way& fastest(const std::vector<Way>& ways, const Options& options) {
  if (ways.size() == 1) return ways.front();
  const Way* best = nullptr;
  double best_ms = 0.0;
  for (const Way& way : ways) {
    const double ms = shortest_ms([&] { static_cast<void>(way.run()); }, options);
    if (best == nullptr || ms < best_ms) {
      best = &way;
      best_ms = ms;
    }
  }
  return *best;
}

// Milliseconds below which this machine cannot go.
double roof_ms(const ComparedCase& c, const Roofs& roofs) {
  const double gflops = c.dtype == at::kBFloat16
                            ? std::max(roofs.gemm_gflops, roofs.gemm_bfloat16_gflops)
                            : roofs.gemm_gflops;
  return std::max(c.work.flops / gflops, c.work.bytes / roofs.read_gbs) / 1e6;
}

}  // namespace

void expect_close(const std::string& what,
                  const at::Tensor& found,
                  const at::Tensor& oracle,
                  double tolerance) {
  if (found.sizes() != oracle.sizes()) throw std::runtime_error(what + " has another shape");
  if (found.numel() == 0) return;
  const at::Tensor exact = oracle.to(at::kDouble);
  const double gap = (found.to(at::kDouble) - exact).abs().max().item<double>();
  const double allowed = tolerance * exact.abs().max().item<double>();
  if (!(gap <= allowed)) {
    throw std::runtime_error(what + " differs by " + std::to_string(gap) + ", allowed " +
                             std::to_string(allowed));
  }
}

std::string dtype_name(at::ScalarType dtype) {
  if (dtype == at::kBFloat16) return "bfloat16";
  return dtype == at::kHalf ? "float16" : "float32";
}

void check_case(const ComparedCase& c) {
  const Results oracle = c.oracle();
  check_way(c, c.ours, oracle);
  for (const Way& way : c.peer) check_way(c, way, oracle);
  for (const Way& way : c.compositions) check_way(c, way, oracle);
}

void announce(const Row& row) {
  std::cerr << row.op << ", " << row.case_name << ", " << row.dtype << ": " << row.ours_ms
            << " ms, B0 x " << row.ratio_b0 << ", B1 x " << row.ratio_b1 << ", "
            << row.fraction_of_roof << " of the roof" << std::endl;
}

Row time_case(const ComparedCase& c, const Options& options, const Roofs& roofs) {
  check_case(c);
  const auto against = [&](const Way& other) {
    return time_pairs([&] { static_cast<void>(c.ours.run()); },
                      [&] { static_cast<void>(other.run()); }, options);
  };
  const Way& strong = fastest(c.compositions, options);
  const PairedTimes b1 = against(strong);
  Row row{.op = c.op,
          .case_name = c.name,
          .dtype = dtype_name(c.dtype),
          .ours_ms = b1.ours_ms,
          .b1_ms = b1.other_ms,
          .ratio_b1 = b1.ratio,
          .fraction_of_roof = roof_ms(c, roofs) / b1.ours_ms,
          .more = {
              {"p10_b1", b1.p10}, {"p90_b1", b1.p90}, {"pairs_b1", static_cast<double>(b1.pairs)}}};
  if (!c.peer.empty()) {
    const PairedTimes b0 = against(c.peer.front());
    row.b0_ms = b0.other_ms;
    row.ratio_b0 = b0.ratio;
    row.p10 = b0.p10;
    row.p90 = b0.p90;
    row.more["pairs_b0"] = static_cast<double>(b0.pairs);
  }
  announce(row);
  return row;
}

}  // namespace headscope::benchmarks
