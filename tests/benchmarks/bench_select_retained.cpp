// Positions of the largest scores of each row, in ascending order, against LibTorch's topk:
//   B0  topk as peers call it, sorted by score (their gather takes the positions in that order)
//   B1  topk without sorting. Neither is charged for bringing the positions in order.
#include <ATen/ATen.h>

#include "kernels/ops.h"
#include "tests/benchmarks/compared_case.h"
#include "tests/benchmarks/layer_sizes.h"

namespace headscope::benchmarks {
namespace {

enum class Law { kHeavyTailed, kCoarse, kFlat };

std::string words(Law law) {
  switch (law) {
    case Law::kHeavyTailed:
      return "";
    case Law::kCoarse:
      return ", rounded to bfloat16 (ties)";
    case Law::kFlat:
      return ", two values only";
  }
  return "";
}

at::Tensor make_scores(int64_t rows, int64_t n, Law law) {
  at::manual_seed(12);
  if (law == Law::kFlat) return at::randint(0, 2, {rows, n}).to(at::kFloat);
  const at::Tensor scores = heavy_tailed_scores(rows, n);
  return law == Law::kCoarse ? scores.to(at::kBFloat16).to(at::kFloat) : scores;
}

ComparedCase make_case(int64_t num_rows, int64_t n, int64_t kept, Law law) {
  const at::Tensor scores = make_scores(num_rows, n, law);
  const auto top = [scores, kept](bool sorted) {
    return Results{std::get<1>(scores.topk(kept, 1, /*largest=*/true, sorted))};
  };
  const std::vector<int64_t> count(static_cast<size_t>(num_rows), kept);
  return {.op = "select_retained",
          .name = std::to_string(num_rows) + (num_rows == 1 ? " row of " : " rows of ") +
                  std::to_string(n) + ", " + std::to_string(kept) + " kept" + words(law),
          .dtype = at::kFloat,
          .ours = {"ours",
                   [scores, count] {
                     const std::vector<at::Tensor> kept_of =
                         kernels::select_retained(scores, count);
                     return kept_of.size() == 1 ? Results{kept_of[0].unsqueeze(0)}
                                                : Results{at::stack(kept_of)};
                   }},
          .peer = {{"topk", [top] { return top(true); }}},
          .compositions = {{"unsorted topk", [top] { return top(false); }}},
          .oracle =
              [scores, kept] {
                return Results{std::get<1>(scores.sort(/*stable=*/true, 1, /*descending=*/true))
                                   .slice(1, 0, kept)};
              },
          .work = {.flops = 0.0, .bytes = static_cast<double>(scores.nbytes())},
          // Among equal scores topk takes any: compared are the scores that were kept.
          .canonical =
              [scores](const at::Tensor& positions) {
                return std::get<0>(scores.gather(1, positions).sort(1));
              }};
}

}  // namespace

std::vector<Row> benchmark_select_retained(const Options& options, const Roofs& roofs) {
  std::vector<Row> rows;
  if (options.check_only) {
    for (const Law law : {Law::kHeavyTailed, Law::kCoarse, Law::kFlat}) {
      check_case(make_case(1, 20000, 1024, law));
      check_case(make_case(5, 3000, 100, law));
    }
    return rows;
  }
  const auto time = [&](int64_t num_rows, int64_t n, int64_t kept, Law law) {
    rows.push_back(time_case(make_case(num_rows, n, kept, law), options, roofs));
  };
  for (const int64_t n : {8192, 32768, 131072, 1048576}) {
    for (const int64_t kept : {256, 1024, 4096}) time(1, n, kept, Law::kHeavyTailed);
  }
  time(1, 32768, 1024, Law::kCoarse);
  time(1, 131072, 1024, Law::kCoarse);
  time(1, 131072, 1024, Law::kFlat);
  time(8, 8192, 1024, Law::kHeavyTailed);
  time(8, 32768, 1024, Law::kHeavyTailed);
  time(256, 8192, 256, Law::kHeavyTailed);
  time(256, 32768, 1024, Law::kHeavyTailed);
  return rows;
}

}  // namespace headscope::benchmarks
