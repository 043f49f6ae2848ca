#include "profiler/probe_preset.h"

#include <algorithm>
#include <cmath>

#include "outputs/input_error.h"

namespace headscope::profiler {
namespace {

// 0, 11, 22, 33, 44, 56, 67, 78, 89, 100 %, as the papers' scripts round them.
const std::vector<std::string>& ten_depths() {
  static const std::vector<std::string> depths{"0",    "0.11", "0.22", "0.33", "0.44",
                                               "0.56", "0.67", "0.78", "0.89", "1"};
  return depths;
}

}  // namespace

const std::vector<ProbePreset>& probe_presets() {
  static const std::vector<ProbePreset> presets{
      {"quick",
       "12 needles at 512 tokens, and repeated tokens: which heads, roughly",
       {{"families", {"needle", "repeat"}},
        {"context-lengths", {"512"}},
        {"depths", {"0.1", "0.5", "0.9"}},
        {"needles-per-cell", {"4"}},
        {"controls", {"2"}}}},
      {"default",
       "48 probes of each family, some 600: rankings that repeat",
       {{"families", {"all"}},
        {"context-lengths", {"512", "1024"}},
        {"depths", {"0.1", "0.3", "0.5", "0.7", "0.9", "1"}},
        {"needles-per-cell", {"4"}},
        {"controls", {"2"}}}},
      {"paper-compresskv",
       "3 needles x 20 lengths x 10 depths (arXiv 2508.02401, 2404.15574)",
       {{"families", {"needle"}},
        {"num-needles", {"3"}},
        {"context-range", {"1000", "50000", "20"}},
        {"depths", ten_depths()},
        {"needles-per-cell", {"3"}}}},
      {"paper-headkv-r",
       "3 needles x 5 lengths x 10 depths (HeadKV-R, arXiv 2410.19258)",
       {{"families", {"needle"}},
        {"num-needles", {"3"}},
        {"context-range", {"2000", "10000", "5"}},
        {"depths", ten_depths()},
        {"needles-per-cell", {"3"}}}},
      {"paper-headkv-r2",
       "2 reasoning needles x 5 lengths x 10 depths (HeadKV-R2, arXiv 2410.19258)",
       {{"families", {"reasoning"}},
        {"num-needles", {"2"}},
        {"context-range", {"2000", "10000", "5"}},
        {"depths", ten_depths()},
        {"needles-per-cell", {"2"}}}}};
  return presets;
}

std::vector<int64_t> even_lengths(int64_t shortest, int64_t longest, int64_t count, int64_t limit) {
  if (shortest < 1 || longest < shortest || count < 1 || (count > 1 && longest == shortest)) {
    throw InputError(
        "--context-range", "the shortest length, the longest and how many, such as 1000,50000,20",
        std::to_string(shortest) + "," + std::to_string(longest) + "," + std::to_string(count));
  }
  const int64_t end = std::min(longest, limit);
  // A model too small for the range as it is gets one that begins lower as well.
  const int64_t first =
      end < longest && end < 2 * shortest ? std::max<int64_t>(1, end / count) : shortest;
  std::vector<int64_t> lengths;
  for (int64_t i = 0; i < count; ++i) {
    const double part = count == 1 ? 1.0 : static_cast<double>(i) / static_cast<double>(count - 1);
    lengths.push_back(
        std::llround(static_cast<double>(first) + part * static_cast<double>(end - first)));
  }
  return lengths;
}

}  // namespace headscope::profiler
