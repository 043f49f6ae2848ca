#include "profiler/greedy_answer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "model/generate.h"
#include "model/rotary.h"
#include "runtime/side_by_side_cache.h"

namespace headscope::profiler {
namespace {

// Length of the UTF-8 character at `at`, 0 where there is none (Unicode 15,
// table 3-7).
size_t character_length(const std::string& text, size_t at) {
  const auto byte = [&](size_t i) {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0U;
  };
  const auto follows = [&](size_t i, unsigned low = 0x80, unsigned high = 0xBF) {
    return byte(i) >= low && byte(i) <= high;
  };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return follows(1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    const unsigned low = lead == 0xE0 ? 0xA0 : 0x80;
    const unsigned high = lead == 0xED ? 0x9F : 0xBF;
    return follows(1, low, high) && follows(2) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const unsigned low = lead == 0xF0 ? 0x90 : 0x80;
    const unsigned high = lead == 0xF4 ? 0x8F : 0xBF;
    return follows(1, low, high) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

// Logits [open, vocab] after one more token of the open sequences.
at::Tensor pass(const MeasuredModel& model,
                std::span<runtime::KvCache* const> caches,
                const std::vector<size_t>& open,
                const std::vector<int64_t>& next,
                const model::ForwardOptions& options) {
  const at::Tensor ids = at::tensor(next, at::kLong).unsqueeze(1);
  if (open.size() == 1) {
    return model.decoder.forward(ids, *caches[open.front()], options).flatten(0, 1);
  }
  std::vector<runtime::KvCache*> sequences;
  for (const size_t i : open) sequences.push_back(caches[i]);
  runtime::SideBySideCache batch(std::move(sequences));
  return model.decoder.forward(ids, batch, options).flatten(0, 1);
}

std::vector<AnswerEnd> decode_all(const MeasuredModel& model,
                                  std::span<runtime::KvCache* const> caches,
                                  std::span<const int64_t> first_tokens,
                                  const AnswerLimits& limits,
                                  const model::ForwardOptions& options) {
  std::vector<AnswerEnd> answers(caches.size(), AnswerEnd(model, limits));
  std::vector<int64_t> token(first_tokens.begin(), first_tokens.end());
  const int64_t last_position = model::position_limit(model.decoder.config());
  std::vector<size_t> open(caches.size());
  std::iota(open.begin(), open.end(), size_t{0});
  while (true) {
    std::erase_if(open, [&](size_t i) {
      return !answers[i].take(token[i]) || answers[i].is_full() ||
             caches[i]->next_position() >= last_position;
    });
    if (open.empty()) return answers;
    std::vector<int64_t> next;
    for (const size_t i : open) next.push_back(token[i]);
    const at::Tensor best = pass(model, caches, open, next, options).argmax(-1).cpu();
    for (size_t i = 0; i < open.size(); ++i) {
      token[open[i]] = best[static_cast<int64_t>(i)].item<int64_t>();
    }
  }
}

}  // namespace

AnswerEnd::AnswerEnd(const MeasuredModel& model, const AnswerLimits& limits)
    : tokenizer_(model.tokenizer),
      limits_(limits),
      stop_ids_(model::stop_ids(model.decoder.config(), model.tokenizer)) {}

bool AnswerEnd::take(int64_t token) {
  if (std::binary_search(stop_ids_.begin(), stop_ids_.end(), token)) return false;
  const std::string piece = tokenizer_.decode({token});
  if (limits_.stop_at_newline && has_words_ && piece.find('\n') != std::string::npos) return false;
  has_words_ = has_words_ || piece.find_first_not_of(" \t\r\n") != std::string::npos;
  ids_.push_back(token);
  return true;
}

bool AnswerEnd::is_full() const {
  return static_cast<int64_t>(ids_.size()) >= limits_.max_tokens;
}

std::string AnswerEnd::text() const {
  return valid_utf8(tokenizer_.decode(ids_));
}

int64_t greedy_choice(const at::Tensor& logits) {
  return logits.reshape({-1}).argmax().item<int64_t>();
}

at::Tensor read_further(const MeasuredModel& model,
                        std::span<const int64_t> tokens,
                        runtime::KvCache& cache,
                        int64_t chunk_tokens) {
  at::Tensor logits;
  for (size_t at = 0; at < tokens.size();) {
    const auto pass =
        tokens.subspan(at, std::min(tokens.size() - at, static_cast<size_t>(chunk_tokens)));
    const at::Tensor ids = at::tensor(at::ArrayRef<int64_t>(pass.data(), pass.size()), at::kLong);
    logits = model.decoder.forward(ids.unsqueeze(0), cache);
    at += pass.size();
  }
  return logits;
}

AnswerEnd decode_greedily(const MeasuredModel& model,
                          runtime::KvCache& cache,
                          int64_t first_token,
                          const AnswerLimits& limits,
                          model::Observer* observer,
                          const model::HeadMask* head_mask) {
  runtime::KvCache* const caches[] = {&cache};
  const int64_t first_tokens[] = {first_token};
  return decode_all(model, caches, first_tokens, limits,
                    {.observer = observer, .head_mask = head_mask})
      .front();
}

std::vector<AnswerEnd> decode_side_by_side(const MeasuredModel& model,
                                           std::span<runtime::KvCache* const> caches,
                                           std::span<const int64_t> first_tokens,
                                           const AnswerLimits& limits) {
  return decode_all(model, caches, first_tokens, limits, {});
}

std::string valid_utf8(const std::string& text) {
  std::string valid;
  for (size_t at = 0; at < text.size();) {
    const size_t length = character_length(text, at);
    valid += length > 0 ? text.substr(at, length) : "\xEF\xBF\xBD";
    at += std::max<size_t>(length, 1);
  }
  return valid;
}

}  // namespace headscope::profiler
