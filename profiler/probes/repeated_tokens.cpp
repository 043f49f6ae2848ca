#include "profiler/probes/repeated_tokens.h"

#include <algorithm>
#include <random>
#include <utility>

#include "outputs/input_error.h"
#include "profiler/sentences.h"

namespace headscope::profiler {
namespace {

bool is_ordinary(const std::string& text) {
  return first_invalid_utf8(text) < 0 && text.find_first_not_of(" \t\r\n") != std::string::npos;
}

// The ids that the tokenizer puts before any text.
std::vector<int64_t> leading_ids(const model::Tokenizer& tokenizer) {
  const std::vector<int64_t> ids = tokenizer.encode("a").ids;
  const bool has_bos = tokenizer.bos_id() && !ids.empty() && ids.front() == *tokenizer.bos_id();
  return has_bos ? std::vector<int64_t>{ids.front()} : std::vector<int64_t>{};
}

}  // namespace

std::vector<int64_t> ordinary_tokens(const model::Tokenizer& tokenizer) {
  std::vector<int64_t> ids;
  for (int64_t id = 0; id < tokenizer.vocab_size(); ++id) {
    if (is_ordinary(tokenizer.decode({id}, /*skip_special=*/true))) {
      ids.push_back(id);
    }
  }
  return ids;
}

std::vector<Probe> build_repeated_tokens(const std::vector<int64_t>& context_lengths,
                                         int64_t count,
                                         uint64_t seed,
                                         const model::Tokenizer& tokenizer) {
  std::vector<int64_t> ids = ordinary_tokens(tokenizer);
  if (ids.size() < 2) {
    throw InputError("repeated random tokens", "a vocabulary with ordinary tokens",
                     std::to_string(ids.size()));
  }
  const std::vector<int64_t> leading = leading_ids(tokenizer);
  std::mt19937_64 random(seed);
  std::vector<Probe> probes;
  for (const int64_t context_length : context_lengths) {
    const int64_t room = (context_length - std::ssize(leading)) / kRepeatCopies;
    const int64_t period = std::min({kRepeatMaxPeriod, room, std::ssize(ids)});
    if (period < 2) {
      throw InputError("--context-lengths", "at least 9 tokens for repeated random tokens",
                       std::to_string(context_length));
    }
    for (int64_t i = 0; i < count; ++i) {
      for (size_t k = 0; k < static_cast<size_t>(period); ++k) {
        std::swap(ids[k], ids[k + random() % (ids.size() - k)]);
      }
      Probe probe;
      probe.id = std::ssize(probes);
      probe.family = kRepeatFamily;
      probe.needle_id = kRepeatFamily + ("-" + std::to_string(probe.id));
      probe.prompt_format = "raw";
      probe.prompt = leading;
      for (int64_t copy = 0; copy < kRepeatCopies; ++copy) {
        probe.prompt.insert(probe.prompt.end(), ids.begin(), ids.begin() + period);
      }
      probe.repeat_period = period;
      probes.push_back(std::move(probe));
    }
  }
  return probes;
}

}  // namespace headscope::profiler
