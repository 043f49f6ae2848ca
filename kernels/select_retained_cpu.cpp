// Selection of the largest scores of a row. A bar guessed from a sample lets through little more
// than the wanted number; the exact cut is found among those. Where the guess fails, all scores are
// candidates. Candidates stay in ascending position, so the result needs no sort.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "kernels/cpu_ops.h"
#include "kernels/for_each_task.h"
#include "kernels/tile_kernels.h"

namespace headscope::kernels {
namespace {

constexpr int64_t kSampleSize = 2048;
constexpr int64_t kSmallestSampled = 4 * kSampleSize;  // shorter rows are taken whole
constexpr int64_t kChunkScores = 1 << 16;              // of one task, where one row is split

// Whole numbers that order like the scores: NaN below -inf, both zeros equal.
uint32_t order_key(float score) {
  if (std::isnan(score)) return 0;
  const auto bits = std::bit_cast<uint32_t>(score + 0.0f);  // -0 becomes +0
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

struct Candidates {
  std::vector<float> value;
  std::vector<int64_t> position;
};

// A score that about `wanted` of the row's scores reach, guessed on the high side of wanted; -inf
// where a guess would not help.
float guess_bar(const float* score, int64_t n, int64_t wanted) {
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  if (n < kSmallestSampled || wanted > n / 4) return kNone;
  std::vector<float> sample;
  sample.reserve(static_cast<size_t>(kSampleSize));
  for (int64_t i = 0; i < kSampleSize; ++i) {
    const float value = score[i * n / kSampleSize];
    if (!std::isnan(value)) sample.push_back(value);
  }
  // Expected rank in the sample, plus four standard deviations and a little for short ones.
  const double expected =
      static_cast<double>(kSampleSize) * static_cast<double>(wanted) / static_cast<double>(n);
  const auto rank = static_cast<size_t>(expected + 4.0 * std::sqrt(expected) + 4.0);
  if (rank >= sample.size()) return kNone;
  std::nth_element(sample.begin(), sample.begin() + static_cast<int64_t>(rank), sample.end(),
                   std::greater<>());
  return sample[rank];
}

void collect(const float* score, int64_t begin, int64_t end, float bar, Candidates& out) {
  const auto room = static_cast<size_t>(end - begin);
  out.value.resize(room);
  out.position.resize(room);
  const int64_t found = tile_kernels().collect_at_least(score + begin, begin, end - begin, bar,
                                                        out.value.data(), out.position.data());
  out.value.resize(static_cast<size_t>(found));
  out.position.resize(static_cast<size_t>(found));
}

// Every score of the row that reaches the bar; long rows are read by several threads.
Candidates collect_row(const float* score, int64_t n, float bar, bool parallel) {
  Candidates all;
  const int64_t chunks = parallel ? std::min<int64_t>(at::get_num_threads(), n / kChunkScores) : 1;
  if (chunks <= 1) {
    collect(score, 0, n, bar, all);
    return all;
  }
  std::vector<Candidates> part(static_cast<size_t>(chunks));
  for_each_task(
      chunks, [] { return 0; },
      [&](int64_t c, int) {
        collect(score, n * c / chunks, n * (c + 1) / chunks, bar, part[static_cast<size_t>(c)]);
      });
  for (const Candidates& p : part) {
    all.value.insert(all.value.end(), p.value.begin(), p.value.end());
    all.position.insert(all.position.end(), p.position.begin(), p.position.end());
  }
  return all;
}

// The `wanted` largest of `count` scores; position(i) of candidate i ascends.
template <class Position>
void take_largest(
    const float* score, int64_t count, int64_t wanted, const Position& position, int64_t* out) {
  std::vector<uint32_t> key(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) key[static_cast<size_t>(i)] = order_key(score[i]);
  std::vector<uint32_t> scratch = key;
  const auto cut = scratch.begin() + (wanted - 1);
  std::nth_element(scratch.begin(), cut, scratch.end(), std::greater<>());
  // Of those equal to the cut, as many as are left over, from the lowest position on.
  int64_t equal =
      wanted - std::count_if(scratch.begin(), cut, [&](uint32_t x) { return x > *cut; });
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t x = key[static_cast<size_t>(i)];
    if (x > *cut || (x == *cut && equal-- > 0)) *out++ = position(i);
  }
}

void select_row(const float* score, int64_t n, int64_t wanted, bool parallel, int64_t* out) {
  if (wanted == 0) return;
  if (wanted == n) {
    for (int64_t i = 0; i < n; ++i) out[i] = i;
    return;
  }
  const float bar = guess_bar(score, n, wanted);
  if (bar > -std::numeric_limits<float>::infinity()) {
    const Candidates some = collect_row(score, n, bar, parallel);
    const auto found = static_cast<int64_t>(some.value.size());
    if (found >= wanted) {
      take_largest(
          some.value.data(), found, wanted,
          [&](int64_t i) { return some.position[static_cast<size_t>(i)]; }, out);
      return;
    }
  }
  take_largest(
      score, n, wanted, [](int64_t i) { return i; }, out);
}

}  // namespace

std::vector<at::Tensor> select_retained_cpu(const at::Tensor& scores,
                                            std::span<const int64_t> count) {
  const at::Tensor rows = scores.contiguous();
  const int64_t num_rows = rows.size(0), n = rows.size(1);
  std::vector<at::Tensor> kept;
  std::vector<int64_t*> out;
  for (const int64_t c : count) {
    kept.push_back(at::empty({std::clamp<int64_t>(c, 0, n)}, rows.options().dtype(at::kLong)));
    out.push_back(kept.back().data_ptr<int64_t>());
  }
  const float* data = rows.const_data_ptr<float>();
  const auto row = [&](int64_t r, bool parallel) {
    const auto i = static_cast<size_t>(r);
    select_row(data + r * n, n, kept[i].size(0), parallel, out[i]);
  };
  if (num_rows < at::get_num_threads()) {
    for (int64_t r = 0; r < num_rows; ++r) row(r, /*parallel=*/true);
  } else {
    for_each_task(
        num_rows, [] { return 0; }, [&](int64_t r, int) { row(r, /*parallel=*/false); });
  }
  return kept;
}

}  // namespace headscope::kernels
