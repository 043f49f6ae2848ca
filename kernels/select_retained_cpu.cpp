// Selection of the largest scores of a row. A bar guessed from a sample lets through little more
// than the wanted number; the exact cut is found among those. Where the guess fails, all scores are
// candidates. Candidates stay in ascending position, so the result needs no sort.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "kernels/cpu_ops.h"
#include "kernels/for_each_task.h"
#include "kernels/tile_kernels.h"

namespace headscope::kernels {
namespace {

constexpr int64_t kMostSampled = 2048;
constexpr int64_t kLeastSampled = 512;
constexpr int64_t kSampledShare = 16;      // one score of so many
constexpr int64_t kChunkScores = 1 << 16;  // of one task, where one row is split
constexpr int kDigitBits = 10;
constexpr float kNoBar = -std::numeric_limits<float>::infinity();

// Whole numbers that order like the scores: NaN below -inf, both zeros equal.
uint32_t order_key(float score) {
  const auto bits = std::bit_cast<uint32_t>(score + 0.0f);  // -0 becomes +0
  const uint32_t flip = (bits >> 31) != 0 ? 0xFFFFFFFFu : 0x80000000u;
  return std::isnan(score) ? 0u : bits ^ flip;
}

// One thread's buffers.
struct Scratch {
  std::vector<uint32_t> key;     // of the candidates
  std::vector<uint32_t> inside;  // keys still in question
  std::vector<int32_t> position;
};

struct Cut {
  uint32_t key = 0;   // the smallest key that is kept
  int64_t equal = 0;  // how many of those equal to it are kept
};

// The cut that keeps `wanted` of `keys`, 1 <= wanted <= their number: counts by digits, the highest
// first, of the range that is still in question. No step depends on how a comparison turns out.
Cut find_cut(const std::vector<uint32_t>& keys, int64_t wanted, std::vector<uint32_t>& inside) {
  uint32_t low = keys[0], high = keys[0];
  for (const uint32_t key : keys) {
    low = std::min(low, key);
    high = std::max(high, key);
  }
  std::array<uint32_t, size_t{1} << kDigitBits> count;
  const uint32_t* from = keys.data();
  size_t num_inside = keys.size();
  inside.resize(keys.size());
  while (low < high) {
    const int shift = std::max(0, static_cast<int>(std::bit_width(high - low)) - kDigitBits);
    std::fill_n(count.begin(), ((high - low) >> shift) + 1, 0u);
    for (size_t i = 0; i < num_inside; ++i) ++count[(from[i] - low) >> shift];
    uint32_t digit = (high - low) >> shift;
    while (count[digit] < wanted) wanted -= count[digit--];
    size_t kept = 0;
    for (size_t i = 0; i < num_inside; ++i) {
      const uint32_t key = from[i];
      inside[kept] = key;
      kept += (key - low) >> shift == digit ? size_t{1} : size_t{0};
    }
    from = inside.data();
    num_inside = kept;
    low += digit << shift;
    high = std::min(high, low + ((1u << shift) - 1));
  }
  return {low, wanted};
}

// A score that about `wanted` of the row's scores reach, guessed on the high side of wanted; -inf
// where a guess would not help.
float guess_bar(const float* score, int64_t n, int64_t wanted, Scratch& scratch) {
  const int64_t num_samples = std::clamp(n / kSampledShare, kLeastSampled, kMostSampled);
  if (n < 4 * kLeastSampled || wanted > n / 4) return kNoBar;
  scratch.key.resize(static_cast<size_t>(num_samples));
  for (int64_t i = 0; i < num_samples; ++i) {
    scratch.key[static_cast<size_t>(i)] = order_key(score[i * n / num_samples]);
  }
  // Expected rank in the sample, plus four standard deviations and a little for short ones.
  const double expected =
      static_cast<double>(num_samples) * static_cast<double>(wanted) / static_cast<double>(n);
  const auto rank = static_cast<int64_t>(expected + 4.0 * std::sqrt(expected) + 4.0);
  if (rank >= num_samples) return kNoBar;
  const uint32_t key = find_cut(scratch.key, rank + 1, scratch.inside).key;
  if (key == 0) return kNoBar;  // NaN
  return std::bit_cast<float>((key >> 31) != 0 ? key ^ 0x80000000u : ~key);
}

// Positions of the scores that reach the bar, and their keys, in scratch; long rows are read by
// several threads.
void collect_row(const float* score, int64_t n, float bar, bool parallel, Scratch& scratch) {
  const int64_t chunks =
      parallel ? std::clamp<int64_t>(n / kChunkScores, 1, at::get_num_threads()) : 1;
  // Not initialised: the pages of a guess that holds are never touched.
  const auto room = static_cast<size_t>(n + chunks * kCollectSlack);
  const std::unique_ptr<int32_t[]> found = std::make_unique_for_overwrite<int32_t[]>(room);
  std::vector<int64_t> num_found(static_cast<size_t>(chunks));
  const auto begin_of = [&](int64_t c) { return n * c / chunks; };
  const auto chunk = [&](int64_t c) {
    const int64_t begin = begin_of(c);
    num_found[static_cast<size_t>(c)] = tile_kernels().collect_at_least(
        score, begin, begin_of(c + 1), bar, found.get() + begin + c * kCollectSlack);
  };
  for_each_task(
      chunks, [] { return 0; }, [&](int64_t c, int) { chunk(c); });
  scratch.position.clear();
  for (int64_t c = 0; c < chunks; ++c) {
    const int32_t* from = found.get() + begin_of(c) + c * kCollectSlack;
    scratch.position.insert(scratch.position.end(), from, from + num_found[static_cast<size_t>(c)]);
  }
  scratch.key.resize(scratch.position.size());
  for (size_t i = 0; i < scratch.key.size(); ++i) {
    scratch.key[i] = order_key(score[scratch.position[i]]);
  }
}

// Positions of the `wanted` largest of the keys in scratch; position(i) of candidate i ascends.
template <class Position>
void take_largest(Scratch& scratch, int64_t wanted, const Position& position, int64_t* out) {
  const Cut cut = find_cut(scratch.key, wanted, scratch.inside);
  int64_t equal = cut.equal;  // from the lowest position on
  const int64_t* const end = out + wanted;
  for (size_t i = 0; out < end; ++i) {
    const uint32_t key = scratch.key[i];
    const bool is_equal = key == cut.key;
    *out = position(i);
    out += key > cut.key || (is_equal && equal > 0) ? 1 : 0;
    equal -= is_equal ? 1 : 0;
  }
}

void select_row(
    const float* score, int64_t n, int64_t wanted, bool parallel, Scratch& scratch, int64_t* out) {
  if (wanted == 0) return;
  if (wanted == n) {
    for (int64_t i = 0; i < n; ++i) out[i] = i;
    return;
  }
  const float bar =
      n <= std::numeric_limits<int32_t>::max() ? guess_bar(score, n, wanted, scratch) : kNoBar;
  if (bar > kNoBar) {
    collect_row(score, n, bar, parallel, scratch);
    if (static_cast<int64_t>(scratch.position.size()) >= wanted) {
      take_largest(
          scratch, wanted, [&](size_t i) { return scratch.position[i]; }, out);
      return;
    }
  }
  scratch.key.resize(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) scratch.key[static_cast<size_t>(i)] = order_key(score[i]);
  take_largest(
      scratch, wanted, [](size_t i) { return static_cast<int64_t>(i); }, out);
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
  const auto row = [&](int64_t r, bool parallel, Scratch& scratch) {
    const auto i = static_cast<size_t>(r);
    select_row(data + r * n, n, kept[i].size(0), parallel, scratch, out[i]);
  };
  if (num_rows < at::get_num_threads()) {
    Scratch scratch;
    for (int64_t r = 0; r < num_rows; ++r) row(r, /*parallel=*/true, scratch);
  } else {
    for_each_task(
        num_rows, [] { return Scratch(); },
        [&](int64_t r, Scratch& scratch) { row(r, /*parallel=*/false, scratch); });
  }
  return kept;
}

}  // namespace headscope::kernels
