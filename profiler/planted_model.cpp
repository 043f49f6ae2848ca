#include "profiler/planted_model.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <filesystem>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "profiler/planted_files.h"

namespace headscope::profiler {
namespace {

// How many tokens back the match looks; fewer where a model has fewer query
// heads.
constexpr int64_t kMaxOffsets = 3;
// Attention logits of a full match, nearest token first: they add up to 120,
// and a place that differs in the farthest token alone still loses by exp(24 *
// difference).
constexpr double kMatchLogits[kMaxOffsets] = {60.0, 36.0, 24.0};
// Attention logits of an offset head per rotary pair.
constexpr double kOffsetLogits = 40.0;
constexpr double kConstant = 16.0;   // the residual dimension that is the same for every token
constexpr double kLogitGain = 30.0;  // output logit of the token that was copied
constexpr double kNoise = 0.003;     // standard deviation of every weight without a job
constexpr int64_t kIntermediate = 8;

// Where things stand in the residual stream, and which rotary pairs turn fast.
// With theta 1e16 pair i of head_dim / 2 turns by 10^(-32 i / head_dim) per
// token: the first eighth of head_dim tells neighbours apart, the rest turns by
// less than half a radian over 4096 tokens and carries content.
struct Layout {
  int64_t code = 0;        // width of a token's code, at 0
  int64_t offsets = 0;     // how many predecessors are written behind it
  int64_t short_code = 0;  // its first entries, which are what is written and compared
  int64_t copied = 0;      // start of the block that the output reads
  int64_t constant = 0;    // the constant's place
  int64_t hidden = 0;
  int64_t fast_pairs = 0;
  int64_t head_dim = 0;

  explicit Layout(const PlantedModelOptions& options)
      : code(options.head_dim),
        offsets(std::min(kMaxOffsets, options.num_query_heads)),
        short_code(3 * options.head_dim / 4 / offsets),
        copied(code + offsets * short_code),
        constant(copied + code),
        hidden((constant + 8) / 8 * 8),
        fast_pairs(options.head_dim / 8),
        head_dim(options.head_dim) {}

  [[nodiscard]] int64_t predecessor(int64_t offset) const {  // 1..offsets; 0 is the token itself
    return offset == 0 ? 0 : code + (offset - 1) * short_code;
  }
  // Dimension of a head that carries entry c of the comparison with the
  // offset-th token (1..).
  [[nodiscard]] int64_t content_dim(int64_t offset, int64_t c) const {
    const int64_t slow_pairs = head_dim / 2 - fast_pairs;
    const int64_t n = (offset - 1) * short_code + c;
    return n < slow_pairs ? fast_pairs + n : head_dim / 2 + fast_pairs + n - slow_pairs;
  }
  // What RMSNorm divides by when `written` blocks of +-1 entries stand beside
  // the constant.
  [[nodiscard]] double rms(int64_t written) const {
    return std::sqrt((static_cast<double>(written) + kConstant * kConstant) /
                     static_cast<double>(hidden));
  }
};

class Weights {
 public:
  Weights(const PlantedModelOptions& options, const Layout& layout)
      : options_(options), at_(layout), random_(options.seed) {}

  std::vector<NamedTensor> build(int64_t vocab_size, int64_t num_special) {
    const at::Tensor codes = token_codes(vocab_size);
    at::Tensor embedding = at::zeros({vocab_size, at_.hidden});
    embedding.narrow(1, 0, at_.code).copy_(codes);
    embedding.select(1, at_.constant).fill_(kConstant);
    // Special tokens are read, never said: their output rows stay zero.
    at::Tensor output = at::zeros({vocab_size, at_.hidden});
    const double gain = kLogitGain / static_cast<double>(at_.code);
    output.narrow(1, at_.copied, at_.code).copy_(codes * gain);
    output.narrow(0, 0, num_special).zero_();

    tensors_.push_back({"model.embed_tokens.weight", embedding});
    tensors_.push_back({"lm_head.weight", output});
    tensors_.push_back({"model.norm.weight", at::ones({at_.hidden})});
    for (int64_t layer = 0; layer < options_.num_layers; ++layer) add_layer(layer);
    return std::move(tensors_);
  }

 private:
  // Random signs. Where there is room for it, short codes are all different and, by a parity sign,
  // in two places at least.
  at::Tensor token_codes(int64_t vocab_size) {
    const bool has_room = at_.short_code > 1 && at_.short_code < 63 &&
                          (int64_t{1} << (at_.short_code - 1)) >= 2 * vocab_size;
    at::Tensor codes = at::empty({vocab_size, at_.code});
    std::set<uint64_t> used;
    for (int64_t token = 0; token < vocab_size; ++token) {
      uint64_t short_bits = short_code_bits(has_room);
      while (has_room && !used.insert(short_bits).second) short_bits = short_code_bits(has_room);
      float* entry = codes.mutable_data_ptr<float>() + token * at_.code;
      for (int64_t c = 0; c < at_.code; ++c) {
        const uint64_t bit = c < at_.short_code ? short_bits >> (c % 64) & 1 : random_() >> 63;
        entry[c] = bit != 0 ? 1.0F : -1.0F;
      }
    }
    return codes;
  }

  // The lowest short_code bits count; with parity their sum is even.
  uint64_t short_code_bits(bool with_parity) {
    const uint64_t bits = random_();
    if (!with_parity) return bits;
    const uint64_t mask = (uint64_t{1} << (at_.short_code - 1)) - 1;
    const auto parity = static_cast<uint64_t>(std::popcount(bits & mask)) & 1;
    return (bits & mask) | parity << (at_.short_code - 1);
  }

  at::Tensor noise(int64_t rows, int64_t columns) {
    at::Tensor matrix = at::empty({rows, columns});
    float* entry = matrix.mutable_data_ptr<float>();
    for (int64_t i = 0; i < matrix.numel(); ++i) {
      const double uniform = static_cast<double>(random_() >> 11) * 0x1.0p-53;
      entry[i] = static_cast<float>((uniform - 0.5) * std::sqrt(12.0) * kNoise);
    }
    return matrix;
  }

  void add_layer(int64_t layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    const int64_t d = options_.head_dim;
    at::Tensor q = noise(options_.num_query_heads * d, at_.hidden);
    at::Tensor k = noise(options_.num_kv_heads * d, at_.hidden);
    at::Tensor v = noise(options_.num_kv_heads * d, at_.hidden);
    at::Tensor o = noise(at_.hidden, options_.num_query_heads * d);
    if (layer == 0) {
      for (int64_t head = 0; head < at_.offsets; ++head) plant_offset_head(head, q, k, v, o);
    }
    if (layer == options_.planted.layer) plant_copy_head(options_.planted.head, q, k, v, o);
    tensors_.push_back({prefix + "self_attn.q_proj.weight", q});
    tensors_.push_back({prefix + "self_attn.k_proj.weight", k});
    tensors_.push_back({prefix + "self_attn.v_proj.weight", v});
    tensors_.push_back({prefix + "self_attn.o_proj.weight", o});
    tensors_.push_back({prefix + "mlp.gate_proj.weight", noise(kIntermediate, at_.hidden)});
    tensors_.push_back({prefix + "mlp.up_proj.weight", noise(kIntermediate, at_.hidden)});
    tensors_.push_back({prefix + "mlp.down_proj.weight", noise(at_.hidden, kIntermediate)});
    tensors_.push_back({prefix + "input_layernorm.weight", at::ones({at_.hidden})});
    tensors_.push_back({prefix + "post_attention_layernorm.weight", at::ones({at_.hidden})});
  }

  // The slice of a projection that belongs to one head, cleared.
  [[nodiscard]] at::Tensor rows_of(const at::Tensor& projection, int64_t head) const {
    at::Tensor rows = projection.narrow(0, head * options_.head_dim, options_.head_dim);
    return rows.zero_();
  }
  [[nodiscard]] at::Tensor columns_of(const at::Tensor& projection, int64_t head) const {
    at::Tensor columns = projection.narrow(1, head * options_.head_dim, options_.head_dim);
    return columns.zero_();
  }
  [[nodiscard]] int64_t kv_head_of(int64_t head) const {
    return head / (options_.num_query_heads / options_.num_kv_heads);
  }

  // Head h of layer 0 looks h + 1 tokens back: every key is the same vector,
  // the query is that vector turned back by h + 1 positions, so q.k peaks where
  // the key stands so far behind. It copies the short code it finds there.
  void plant_offset_head(int64_t head,
                         const at::Tensor& q,
                         const at::Tensor& k,
                         const at::Tensor& v,
                         const at::Tensor& o) const {
    const int64_t offset = head + 1;
    const int64_t half = options_.head_dim / 2;
    const double x_constant = kConstant / at_.rms(at_.code);
    const double amplitude =
        std::sqrt(kOffsetLogits * std::sqrt(static_cast<double>(options_.head_dim))) / x_constant;
    const at::Tensor q_rows = rows_of(q, head);
    const at::Tensor k_rows = rows_of(k, kv_head_of(head));
    const at::Tensor v_rows = rows_of(v, kv_head_of(head));
    const at::Tensor o_columns = columns_of(o, head);
    for (int64_t pair = 0; pair < at_.fast_pairs; ++pair) {
      const double turn =
          static_cast<double>(offset) * std::pow(10.0, -32.0 * static_cast<double>(pair) /
                                                           static_cast<double>(options_.head_dim));
      k_rows[pair][at_.constant] = amplitude;
      q_rows[pair][at_.constant] = amplitude * std::cos(turn);
      q_rows[half + pair][at_.constant] = -amplitude * std::sin(turn);
    }
    for (int64_t c = 0; c < at_.short_code; ++c) {
      v_rows[c][c] = at_.rms(at_.code);
      o_columns[at_.predecessor(offset) + c][c] = 1.0;
    }
  }

  // Matches the last tokens (query) against the tokens before each place (key),
  // and writes the whole code of the token at the matching place to where the
  // output reads.
  void plant_copy_head(int64_t head,
                       const at::Tensor& q,
                       const at::Tensor& k,
                       const at::Tensor& v,
                       const at::Tensor& o) const {
    const double rms = at_.rms(at_.code + at_.offsets * at_.short_code);
    const at::Tensor q_rows = rows_of(q, head);
    const at::Tensor k_rows = rows_of(k, kv_head_of(head));
    const at::Tensor v_rows = rows_of(v, kv_head_of(head));
    const at::Tensor o_columns = columns_of(o, head);
    for (int64_t offset = 1; offset <= at_.offsets; ++offset) {
      const double per_entry = kMatchLogits[offset - 1] / static_cast<double>(at_.short_code);
      const double amplitude =
          std::sqrt(per_entry * std::sqrt(static_cast<double>(options_.head_dim))) * rms;
      for (int64_t c = 0; c < at_.short_code; ++c) {
        const int64_t dim = at_.content_dim(offset, c);
        q_rows[dim][at_.predecessor(offset - 1) + c] = amplitude;
        k_rows[dim][at_.predecessor(offset) + c] = amplitude;
      }
    }
    for (int64_t c = 0; c < at_.code; ++c) {
      v_rows[c][c] = rms;
      o_columns[at_.copied + c][c] = 1.0;
    }
  }

  const PlantedModelOptions& options_;
  const Layout& at_;
  std::mt19937_64 random_;
  std::vector<NamedTensor> tensors_;
};

}  // namespace

void PlantedModelOptions::validate() const {
  const auto require = [](bool holds, const std::string& what) {
    if (!holds) throw std::invalid_argument("planted model: " + what);
  };
  require(num_layers >= 2 && num_layers <= 200, "num_layers must be 2..200");
  require(num_kv_heads >= 1 && num_query_heads >= 2 && num_query_heads <= 256,
          "there must be 2..256 query heads and at least one KV head");
  require(num_query_heads % num_kv_heads == 0, "num_kv_heads must divide num_query_heads");
  require(head_dim >= 32 && head_dim <= 256 && head_dim % 8 == 0,
          "head_dim must be a multiple of 8 in 32..256");
  require(planted.layer >= 1 && planted.layer < num_layers,
          "planted.layer must be 1..num_layers - 1");
  require(planted.head >= 0 && planted.head < num_query_heads,
          "planted.head must be 0..num_query_heads - 1");
  require(max_positions >= 16 && max_positions <= 4096, "max_positions must be 16..4096");
}

void write_planted_model(const PlantedModelOptions& options, const std::string& folder) {
  options.validate();
  const Layout layout(options);
  std::filesystem::create_directories(folder);
  const PlantedVocabulary vocabulary = planted_vocabulary();
  const std::filesystem::path path(folder);
  write_planted_config(options, layout.hidden, kIntermediate,
                       static_cast<int64_t>(vocabulary.tokens.size()), path / "config.json");
  write_planted_tokenizer(vocabulary, options.max_positions, path);
  write_safetensors(
      Weights(options, layout)
          .build(static_cast<int64_t>(vocabulary.tokens.size()), vocabulary.num_special),
      path / "model.safetensors");
}

}  // namespace headscope::profiler
