#include "model/decoder.h"

#include <ATen/ATen.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "model/attention_block.h"
#include "model/config_check.h"
#include "model/decoder_weights.h"
#include "model/layer_end.h"
#include "model/projection.h"
#include "model/rms_norm.h"
#include "model/rotary.h"
#include "outputs/input_error.h"

namespace headscope::model {
namespace {

// Window-based policies judge keys by the prompt's last queries; this many always share one pass.
constexpr int64_t kLastChunkTokens = 64;

// No gradients are recorded and no autograd layer is walked through, which a decode step would
// feel. Unlike c10::InferenceMode this makes ordinary tensors, which a cache may change afterwards.
struct ForwardGuard {
  at::NoGradGuard no_grad;
  at::AutoDispatchBelowADInplaceOrView below_autograd;
};

// Lengths of the passes of a prompt: full chunks first, the last one at least kLastChunkTokens.
std::vector<int64_t> chunk_lengths(int64_t num_tokens, int64_t chunk_tokens) {
  const int64_t remainder = num_tokens % chunk_tokens;
  const int64_t last = std::max(remainder == 0 ? std::min(chunk_tokens, num_tokens) : remainder,
                                std::min(kLastChunkTokens, num_tokens));
  std::vector<int64_t> lengths;
  for (int64_t left = num_tokens - last; left > 0; left -= lengths.back()) {
    lengths.push_back(std::min(chunk_tokens, left));
  }
  lengths.push_back(last);
  return lengths;
}

void check_positions(int64_t end, int64_t limit) {
  if (end <= limit) return;
  throw InputError("prompt", "at most " + std::to_string(limit) + " tokens (the model's positions)",
                   std::to_string(end),
                   "Shorten the prompt or the generation, or use a model with "
                   "more positions.");
}

// Rows of several sequences come as one batch entry.
void check_rows(const ForwardOptions& options, int64_t batch, int64_t n) {
  const auto inside = [n](int64_t row) { return row >= 0 && row < n; };
  const bool chosen = options.logits == LogitRows::kChosen;
  const bool sound =
      (options.positions.empty() || std::ssize(options.positions) == n) &&
      (!chosen || (!options.logit_rows.empty() && std::ranges::all_of(options.logit_rows, inside)));
  if (sound && (batch == 1 || (options.positions.empty() && !chosen))) return;
  throw std::invalid_argument(
      "Decoder::forward: positions and logit_rows are for tokens [1, n]: n positions, rows below "
      "n");
}

void check_token_ids(std::span<const int64_t> tokens, int64_t vocab_size) {
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] >= 0 && tokens[i] < vocab_size) continue;
    throw InputError("token " + std::to_string(i),
                     "an id from 0 to " + std::to_string(vocab_size - 1), std::to_string(tokens[i]),
                     "The ids belong to another model's tokenizer.");
  }
}

void check_mask(const HeadMask* mask, const ModelConfig& config) {
  if (mask == nullptr || mask->num_layers() == config.num_layers) return;
  throw std::invalid_argument("Decoder: head_mask is for " + std::to_string(mask->num_layers()) +
                              " layers, expected " + std::to_string(config.num_layers));
}

// Sequences' last token of [B * n, size] or [B, n, size].
at::Tensor last_rows(const at::Tensor& rows, int64_t batch, int64_t n) {
  return rows.view({batch, n, -1}).select(1, n - 1);
}

}  // namespace

struct Decoder::Impl {
  ModelConfig config;
  at::ScalarType dtype;
  at::Device device;
  DecoderWeights weights;
  Rotary rotary;
  int64_t position_limit;

  [[nodiscard]] at::Tensor run(const at::Tensor& tokens,
                               runtime::KvCache& cache,
                               const ForwardOptions& options) const;
  [[nodiscard]] at::Tensor prefill(const at::Tensor& ids,  // [B, n]
                                   runtime::KvCache& cache,
                                   const PrefillOptions& options) const;
  [[nodiscard]] std::vector<RotaryTable> rotary_tables(const runtime::KvCache& cache,
                                                       int64_t batch,
                                                       int64_t n) const;
};

// Padding shifts a sequence's own positions; columns before its first token are never looked at.
std::vector<RotaryTable> Decoder::Impl::rotary_tables(const runtime::KvCache& cache,
                                                      int64_t batch,
                                                      int64_t n) const {
  const int64_t first = cache.next_position();
  const std::span<const int64_t> padding = cache.padding();
  if (padding.empty()) return {rotary.table(first, n)};
  if (static_cast<int64_t>(padding.size()) != batch) {
    throw std::invalid_argument("Decoder: expected the " + std::to_string(padding.size()) +
                                " sequences of the cache, found " + std::to_string(batch));
  }
  std::vector<RotaryTable> tables;
  for (const int64_t count : padding) tables.push_back(rotary.table(first - count, n));
  return tables;
}

// Layers first to last; after the last attention only the rows go on whose logits are wanted.
at::Tensor Decoder::Impl::run(const at::Tensor& tokens,
                              runtime::KvCache& cache,
                              const ForwardOptions& options) const {
  const int64_t batch = tokens.size(0);
  const int64_t n = tokens.size(1);
  const std::span<const int64_t> positions = options.positions;
  const int64_t first = positions.empty() ? cache.next_position() : positions.front();
  check_rows(options, batch, n);
  check_positions(positions.empty() ? first + n : *std::ranges::max_element(positions) + 1,
                  position_limit);
  check_mask(options.head_mask, config);
  std::vector<RotaryTable> tables = positions.empty()
                                        ? rotary_tables(cache, batch, n)
                                        : std::vector<RotaryTable>{rotary.table(positions)};
  const ForwardPass pass{.batch = batch,
                         .num_tokens = n,
                         .first_position = first,
                         .rotary = std::move(tables),
                         .cache = &cache,
                         .observer = options.observer,
                         .head_mask = options.head_mask};
  at::Tensor hidden = at::embedding(weights.embedding, tokens.reshape({-1}));
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    const LayerWeights& w = weights.layers[static_cast<size_t>(layer)];
    at::Tensor z = attend_layer(config, w, layer, hidden, pass);
    if (layer + 1 == config.num_layers) {
      if (options.logits == LogitRows::kNone) return {};
      if (options.logits == LogitRows::kLast && n > 1) {
        hidden = last_rows(hidden, batch, n).contiguous();
        z = last_rows(z, batch, n);
      } else if (options.logits == LogitRows::kChosen) {
        const at::Tensor rows = at::tensor(options.logit_rows, at::kLong).to(device);
        hidden = hidden.index_select(0, rows);
        z = z.reshape({n, -1}).index_select(0, rows);
      }
    }
    finish_layer_(hidden, z.reshape({hidden.size(0), -1}), w, config.rms_norm_eps);
  }
  const at::Tensor normed = rms_norm(hidden, weights.final_norm, config.rms_norm_eps);
  const at::Tensor logits = project(normed, weights.lm_head, /*bias=*/at::Tensor());
  return logits.to(at::kFloat).view({batch, -1, config.vocab_size});
}

Decoder::Decoder(const ModelConfig& config,
                 const WeightSource& weights,
                 at::ScalarType dtype,
                 at::Device device) {
  if (dtype != at::kFloat && dtype != at::kBFloat16 && dtype != at::kHalf) {
    throw std::invalid_argument("Decoder: dtype must be float32, bfloat16 or float16, found " +
                                std::string(c10::toString(dtype)));
  }
  check_config(config, "config");
  const at::NoGradGuard no_grad;
  impl_ =
      std::make_unique<Impl>(Impl{.config = config,
                                  .dtype = dtype,
                                  .device = device,
                                  .weights = load_decoder_weights(config, weights, dtype, device),
                                  .rotary = Rotary(config, device),
                                  .position_limit = model::position_limit(config)});
}

Decoder::~Decoder() = default;
Decoder::Decoder(Decoder&&) noexcept = default;
Decoder& Decoder::operator=(Decoder&&) noexcept = default;

at::Tensor Decoder::forward(const at::Tensor& tokens,
                            runtime::KvCache& cache,
                            const ForwardOptions& options) const {
  if (tokens.dim() != 2 || tokens.scalar_type() != at::kLong || tokens.numel() == 0) {
    throw std::invalid_argument("Decoder::forward: tokens must be int64 [B, n] and not empty");
  }
  if (tokens.is_cpu()) {  // ids already on a device were produced there, by an
                          // argmax over the vocabulary
    const at::Tensor ids = tokens.contiguous();
    check_token_ids({ids.const_data_ptr<int64_t>(), static_cast<size_t>(ids.numel())},
                    impl_->config.vocab_size);
  }
  const ForwardGuard guard;
  return impl_->run(tokens.to(impl_->device), cache, options);
}

at::Tensor Decoder::prefill(std::span<const int64_t> tokens,
                            runtime::KvCache& cache,
                            const PrefillOptions& options) const {
  if (tokens.empty()) throw InputError("prompt", "at least one token", "none");
  check_token_ids(tokens, impl_->config.vocab_size);
  return impl_->prefill(at::tensor(tokens, at::kLong).unsqueeze(0), cache, options);
}

at::Tensor Decoder::prefill_batch(std::span<const std::vector<int64_t>> prompts,
                                  runtime::KvCache& cache,
                                  const PrefillOptions& options) const {
  size_t longest = 0;
  for (const std::vector<int64_t>& prompt : prompts) {
    if (prompt.empty()) throw InputError("prompt", "at least one token", "none");
    check_token_ids(prompt, impl_->config.vocab_size);
    longest = std::max(longest, prompt.size());
  }
  if (prompts.empty()) throw InputError("prompts", "at least one", "none");
  std::vector<int64_t> padding;
  const auto columns = static_cast<int64_t>(longest);
  // What stands in the padding is computed and never looked at; any token will do.
  const at::Tensor ids = at::zeros({static_cast<int64_t>(prompts.size()), columns}, at::kLong);
  for (size_t b = 0; b < prompts.size(); ++b) {
    const auto count = static_cast<int64_t>(prompts[b].size());
    padding.push_back(columns - count);
    ids[static_cast<int64_t>(b)]
        .narrow(0, columns - count, count)
        .copy_(at::tensor(prompts[b], at::kLong));
  }
  if (*std::max_element(padding.begin(), padding.end()) > 0) {
    cache.expect_padding(std::move(padding));
  }
  return impl_->prefill(ids, cache, options);
}

at::Tensor Decoder::Impl::prefill(const at::Tensor& prompt,
                                  runtime::KvCache& cache,
                                  const PrefillOptions& options) const {
  if (options.chunk_tokens <= 0) {
    throw std::invalid_argument("Decoder::prefill: chunk_tokens must be positive, found " +
                                std::to_string(options.chunk_tokens));
  }
  const int64_t batch = prompt.size(0);
  const int64_t num_tokens = prompt.size(1);
  // All checks come before the first pass: a prompt that cannot be finished is not begun.
  check_positions(cache.next_position() + num_tokens, position_limit);
  const ForwardGuard guard;
  const at::Tensor ids = prompt.to(device);
  const bool all_rows = options.logits == LogitRows::kAll;
  at::Tensor logits;
  cache.expect_prompt(num_tokens);
  int64_t done = 0;
  for (const int64_t length : chunk_lengths(num_tokens, options.chunk_tokens)) {
    const bool is_last = done + length == num_tokens;
    if (is_last) cache.expect_end_of_prompt();
    const LogitRows rows = all_rows || is_last ? options.logits : LogitRows::kNone;
    const at::Tensor chunk_logits =
        run(ids.narrow(1, done, length), cache,
            {.logits = rows, .observer = options.observer, .head_mask = options.head_mask});
    if (all_rows && length < num_tokens) {
      if (!logits.defined()) {
        logits = at::empty({batch, num_tokens, config.vocab_size}, chunk_logits.options());
      }
      logits.narrow(1, done, length).copy_(chunk_logits);
    } else {
      logits = chunk_logits;
    }
    done += length;
  }
  return logits;
}

const ModelConfig& Decoder::config() const {
  return impl_->config;
}
at::Device Decoder::device() const {
  return impl_->device;
}
at::ScalarType Decoder::dtype() const {
  return impl_->dtype;
}
int64_t Decoder::weight_bytes() const {
  return impl_->weights.bytes();
}

at::Tensor Decoder::output_projection(int64_t layer) const {
  if (layer < 0 || layer >= impl_->config.num_layers) {
    throw std::invalid_argument("Decoder::output_projection: no layer " + std::to_string(layer));
  }
  return plain_weight(impl_->weights.layers[static_cast<size_t>(layer)].output);
}

}  // namespace headscope::model
