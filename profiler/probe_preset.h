// Named sets of probe options: the ones a user would write into a file of settings.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace headscope::profiler {

// An option's name without its dashes, and its values.
struct ProbeSetting {
  std::string key;
  std::vector<std::string> values;
};

struct ProbePreset {
  std::string name;
  std::string purpose;  // one line; the paper where it follows one
  std::vector<ProbeSetting> settings;
};

// quick, default, paper-compresskv, paper-headkv-r, paper-headkv-r2.
[[nodiscard]] const std::vector<ProbePreset>& probe_presets();

// `count` context lengths, evenly spaced from `shortest` to `longest`, rounded to tokens. Where the
// model holds fewer than `longest`, they end at `limit` instead; and begin at limit / count where
// `limit` is not twice `shortest`. InputError where the three make no range.
[[nodiscard]] std::vector<int64_t> even_lengths(int64_t shortest,
                                                int64_t longest,
                                                int64_t count,
                                                int64_t limit);

}  // namespace headscope::profiler
