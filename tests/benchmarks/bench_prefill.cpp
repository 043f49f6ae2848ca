// A prompt through the whole decoder (SmolLM2-135M's shape, random weights: the time does not
// depend on them), logits of the last token, against
//   B0  transformers' sequence on LibTorch with sdpa attention: separate q, k, v, gate and up
//       products, norms and rotary embedding op by op
//   B1  the same with fused products and LibTorch's fused norm
// With --model and --python also the model of that file, against transformers (sdpa attention) in a
// process of its own between two halves of our runs, as B0: the shortest of its runs against the
// median of ours.
// `products_ms` is the time of the layers' products alone, by whole chunks or by each thread's
// rows, whichever is faster; attention's products are counted causally at that rate in
// `fraction_of_products_rate`.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>

#include "analysis/quantile.h"
#include "model/decoder.h"
#include "model/model.h"
#include "model/projection.h"
#include "model/row_tasks.h"
#include "runtime/full_kv_cache.h"
#include "tests/benchmarks/compared_case.h"
#include "tests/benchmarks/python_run.h"
#include "tests/benchmarks/smollm2_shape.h"
#include "tests/support/memory_weights.h"

namespace headscope::benchmarks {
namespace {

class Model {
 public:
  Model(const model::ModelConfig& config, at::ScalarType dtype)
      : config_(config),
        dtype_(dtype),
        tensors_(testing::random_tensors(config, /*seed=*/18)),
        decoder_(config, testing::MemoryWeights(tensors_), dtype, at::kCPU) {
    for (auto& [name, tensor] : tensors_) tensor = tensor.to(dtype);
    for (int64_t layer = 0; layer < config.num_layers; ++layer) {
      const std::string attention = prefix(layer) + "self_attn.", mlp = prefix(layer) + "mlp.";
      qkv_.push_back(at::cat({weight(attention + "q_proj"), weight(attention + "k_proj"),
                              weight(attention + "v_proj")}));
      gate_up_.push_back(at::cat({weight(mlp + "gate_proj"), weight(mlp + "up_proj")}));
    }
    for (int64_t layer = 0; layer < config.num_layers; ++layer) {
      const auto l = static_cast<size_t>(layer);
      packed_.push_back({model::packed_weight(qkv_[l]),
                         model::packed_weight(weight(prefix(layer) + "self_attn.o_proj")),
                         model::packed_weight(gate_up_[l]),
                         model::packed_weight(weight(prefix(layer) + "mlp.down_proj"))});
    }
  }

  [[nodiscard]] at::Tensor ours(const std::vector<int64_t>& tokens) const {
    runtime::FullKvCache cache(config_.num_layers);
    return decoder_.prefill(tokens, cache)[0][0];
  }
  [[nodiscard]] at::Tensor reference(const std::vector<int64_t>& tokens, bool fused) const;
  void products(int64_t num_tokens, bool by_thread) const;
  // Multiplications and additions of the layers' products, and of causal attention.
  [[nodiscard]] double product_flops(int64_t n) const {
    double weights = 0.0;
    for (const at::Tensor& t : {qkv_[0], weight(prefix(0) + "self_attn.o_proj"), gate_up_[0],
                                weight(prefix(0) + "mlp.down_proj")}) {
      weights += static_cast<double>(t.numel());
    }
    return 2.0 * weights * static_cast<double>(n * config_.num_layers);
  }
  [[nodiscard]] double attention_flops(int64_t n) const {
    return 2.0 * static_cast<double>(n) * static_cast<double>(n + 1) *
           static_cast<double>(config_.num_layers * config_.num_query_heads * config_.head_dim);
  }

 private:
  static std::string prefix(int64_t layer) { return "model.layers." + std::to_string(layer) + "."; }
  [[nodiscard]] const at::Tensor& weight(const std::string& name) const {
    return tensors_.at(name + ".weight");
  }
  [[nodiscard]] at::Tensor norm(const at::Tensor& x, const std::string& name, bool fused) const {
    if (fused) return at::rms_norm(x, {x.size(-1)}, weight(name), config_.rms_norm_eps);
    const at::Tensor wide = x.to(at::kFloat);
    const at::Tensor variance = wide.pow(2).mean(-1, /*keepdim=*/true);
    return weight(name) * (wide * at::rsqrt(variance + config_.rms_norm_eps)).to(x.scalar_type());
  }
  [[nodiscard]] at::Tensor attention(int64_t layer,
                                     const at::Tensor& x,
                                     const at::Tensor& cos,
                                     const at::Tensor& sin,
                                     bool fused) const;

  model::ModelConfig config_;
  at::ScalarType dtype_;
  std::map<std::string, at::Tensor> tensors_;
  model::Decoder decoder_;
  std::vector<at::Tensor> qkv_, gate_up_;
  std::vector<std::vector<at::Tensor>> packed_;
};

at::Tensor Model::attention(int64_t layer,
                            const at::Tensor& x,
                            const at::Tensor& cos,
                            const at::Tensor& sin,
                            bool fused) const {
  const std::string name = prefix(layer) + "self_attn.";
  const int64_t d = config_.head_dim, half = d / 2;
  at::Tensor q, k, v;
  if (fused) {
    const at::Tensor qkv = at::linear(x, qkv_[static_cast<size_t>(layer)]);
    const auto parts = qkv.split_with_sizes(
        {config_.num_query_heads * d, config_.num_kv_heads * d, config_.num_kv_heads * d}, -1);
    q = parts[0];
    k = parts[1];
    v = parts[2];
  } else {
    q = at::linear(x, weight(name + "q_proj"));
    k = at::linear(x, weight(name + "k_proj"));
    v = at::linear(x, weight(name + "v_proj"));
  }
  const auto by_head = [&](const at::Tensor& t) {
    return t.unflatten(-1, {-1, d}).transpose(1, 2);
  };
  const auto rotated = [&](const at::Tensor& t) {
    const at::Tensor turned = at::cat({-t.slice(-1, half), t.slice(-1, 0, half)}, -1);
    return t * cos + turned * sin;
  };
  const at::Tensor z =
      at::scaled_dot_product_attention(rotated(by_head(q)), rotated(by_head(k)), by_head(v), {},
                                       0.0, /*is_causal=*/true, std::nullopt, /*enable_gqa=*/true);
  return at::linear(z.transpose(1, 2).contiguous().flatten(2), weight(name + "o_proj"));
}

at::Tensor Model::reference(const std::vector<int64_t>& tokens, bool fused) const {
  const auto n = static_cast<int64_t>(tokens.size());
  const at::Tensor exponent = at::arange(0, config_.head_dim, 2).to(at::kFloat) / config_.head_dim;
  const at::Tensor frequency = at::pow(at::Scalar(config_.rope.theta), -exponent);
  const at::Tensor half = at::arange(n).to(at::kFloat).unsqueeze(1) * frequency;
  const at::Tensor angles = at::cat({half, half}, 1);
  const at::Tensor cos = angles.cos().to(dtype_), sin = angles.sin().to(dtype_);
  at::Tensor x = at::embedding(weight("model.embed_tokens"), at::tensor(tokens)).unsqueeze(0);
  for (int64_t layer = 0; layer < config_.num_layers; ++layer) {
    const std::string mlp = prefix(layer) + "mlp.";
    x = x + attention(layer, norm(x, prefix(layer) + "input_layernorm", fused), cos, sin, fused);
    const at::Tensor normed = norm(x, prefix(layer) + "post_attention_layernorm", fused);
    at::Tensor activated;
    if (fused) {
      const auto parts = at::linear(normed, gate_up_[static_cast<size_t>(layer)]).chunk(2, -1);
      activated = at::silu(parts[0]).mul_(parts[1]);
    } else {
      activated = at::silu(at::linear(normed, weight(mlp + "gate_proj"))) *
                  at::linear(normed, weight(mlp + "up_proj"));
    }
    x = x + at::linear(activated, weight(mlp + "down_proj"));
  }
  const at::Tensor last = norm(x.slice(1, n - 1), "model.norm", fused);
  return at::linear(last, weight("model.embed_tokens"))[0][0].to(at::kFloat);
}

void Model::products(int64_t num_tokens, bool by_thread) const {
  constexpr int64_t kChunk = 1024;  // PrefillOptions
  const auto options = at::TensorOptions(dtype_);
  const at::Tensor hidden = at::ones({kChunk, config_.hidden_size}, options);
  const at::Tensor heads = at::ones({kChunk, config_.num_query_heads * config_.head_dim}, options);
  const at::Tensor inner = at::ones({kChunk, config_.intermediate_size}, options);
  for (int64_t done = 0; done < num_tokens; done += kChunk) {
    const int64_t n = std::min(kChunk, num_tokens - done);
    for (const std::vector<at::Tensor>& layer : packed_) {
      static_cast<void>(model::project(hidden.narrow(0, 0, n), layer[0], {}));
      const auto rest = [&](int64_t begin, int64_t end) {
        static_cast<void>(model::project(heads.slice(0, begin, end), layer[1], {}));
        static_cast<void>(model::project(hidden.slice(0, begin, end), layer[2], {}));
        static_cast<void>(model::project(inner.slice(0, begin, end), layer[3], {}));
      };
      if (by_thread) {
        model::for_row_parts(n, rest);
      } else {
        rest(0, n);
      }
    }
  }
}

ComparedCase make_case(const std::shared_ptr<const Model>& model,
                       int64_t num_tokens,
                       int64_t vocab_size,
                       at::ScalarType dtype,
                       double tolerance) {
  at::manual_seed(19);
  const at::Tensor ids = at::randint(0, vocab_size, {num_tokens}, at::kLong);
  const std::vector<int64_t> tokens(ids.const_data_ptr<int64_t>(),
                                    ids.const_data_ptr<int64_t>() + num_tokens);
  return {.op = "prefill",
          .name = "SmolLM2-135M, " + std::to_string(num_tokens) + " tokens",
          .dtype = dtype,
          .ours = {"ours", [=] { return Results{model->ours(tokens)}; }, tolerance},
          .peer = {{"transformers' sequence",
                    [=] { return Results{model->reference(tokens, /*fused=*/false)}; }}},
          .compositions = {{"fused sequence",
                            [=] { return Results{model->reference(tokens, /*fused=*/true)}; },
                            tolerance}},
          .oracle = [=] { return Results{model->reference(tokens, /*fused=*/false)}; },
          .work = {.flops = model->product_flops(num_tokens) + model->attention_flops(num_tokens)},
          .canonical = {}};
}

double milliseconds(const std::function<void()>& work) {
  const auto started = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - started)
      .count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return analysis::quantile(values, 0.5);
}

// The first tokens that stand for a text: times do not depend on which.
std::vector<int64_t> some_tokens(int64_t count, int64_t vocab_size) {
  at::manual_seed(20);
  const at::Tensor ids = at::randint(0, vocab_size, {count}, at::kLong);
  return {ids.const_data_ptr<int64_t>(), ids.const_data_ptr<int64_t>() + count};
}

// A real model against transformers, in one run.
void time_transformers(const Options& options, at::ScalarType dtype, std::vector<Row>& rows) {
  constexpr int kHalf = 3;  // of our runs
  const auto source = model::open_model_source(options.model);
  const model::Decoder decoder(source->config(), source->weights(), dtype, at::kCPU);
  const int64_t vocab_size = source->config().vocab_size;
  const std::vector<int64_t> lengths{2048, 8000};
  std::vector<std::vector<double>> ours(lengths.size());
  std::vector<int64_t> next(lengths.size());
  nlohmann::json job{{"model", options.model},
                     {"threads", at::get_num_threads()},
                     {"dtype", dtype_name(dtype)},
                     {"repeats", 2 * kHalf},
                     {"prompts", nlohmann::json::array()}};
  const auto run_half = [&] {
    for (size_t i = 0; i < lengths.size(); ++i) {
      const std::vector<int64_t> tokens = some_tokens(lengths[i], vocab_size);
      const auto read = [&] {
        runtime::FullKvCache cache(source->config().num_layers);
        next[i] = decoder.prefill(tokens, cache)[0][0].argmax().item<int64_t>();
      };
      read();  // warm-up
      for (int run = 0; run < kHalf; ++run) ours[i].push_back(milliseconds(read));
    }
  };
  for (const int64_t length : lengths) job["prompts"].push_back(some_tokens(length, vocab_size));
  run_half();
  const nlohmann::json theirs = run_python(options.python, "transformers_prefill.py", job);
  run_half();
  for (size_t i = 0; i < lengths.size(); ++i) {
    if (dtype == at::kFloat && theirs.at("next_token").at(i) != next[i]) {
      throw std::runtime_error("prefill: transformers goes on with another token");
    }
    const auto their_ms = theirs.at("milliseconds").at(i).get<std::vector<double>>();
    const double best = *std::min_element(their_ms.begin(), their_ms.end());
    Row row{.op = "prefill",
            .case_name = std::filesystem::path(options.model).filename().string() + ", " +
                         std::to_string(lengths[i]) + " tokens, against transformers",
            .dtype = dtype_name(dtype),
            .ours_ms = median(ours[i]),
            .b0_ms = best,
            .ratio_b0 = best / median(ours[i]),
            .more = {}};
    announce(row);
    rows.push_back(std::move(row));
  }
}

}  // namespace

std::vector<Row> benchmark_prefill(const Options& options, const Roofs& roofs) {
  std::vector<Row> rows;
  if (options.check_only) {
    const model::ModelConfig config = shortened(smollm2_config(), 3, 500);
    const auto model = std::make_shared<const Model>(config, at::kFloat);
    check_case(make_case(model, 150, config.vocab_size, at::kFloat, 1e-4));
    return rows;
  }
  const model::ModelConfig config = smollm2_config();
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const auto model = std::make_shared<const Model>(config, dtype);
    // Random layers amplify what rounding they are given; 30 of them in bfloat16 leave the likeness
    // of two orders of rounding, no more.
    const double tolerance = dtype == at::kFloat ? 1e-2 : 0.5;
    for (const int64_t num_tokens : {2048, 8000}) {
      const ComparedCase c = make_case(model, num_tokens, config.vocab_size, dtype, tolerance);
      Row row = time_case(c, options, roofs);
      const auto whole = [&] { model->products(num_tokens, /*by_thread=*/false); };
      const auto by_thread = [&] { model->products(num_tokens, /*by_thread=*/true); };
      const PairedTimes forms = time_pairs(whole, by_thread, options);
      const bool whole_wins = forms.ours_ms < forms.other_ms;
      const PairedTimes products =
          time_pairs([&] { static_cast<void>(c.ours.run()); },
                     whole_wins ? std::function<void()>(whole) : by_thread, options);
      const double rate = model->product_flops(num_tokens) / products.other_ms;
      row.more["products_ms"] = products.other_ms;
      row.more["products_gflops"] = rate / 1e6;
      row.more["fraction_of_products_rate"] = c.work.flops / products.ours_ms / rate;
      rows.push_back(row);
    }
    if (!options.model.empty() && !options.python.empty()) time_transformers(options, dtype, rows);
  }
  return rows;
}

}  // namespace headscope::benchmarks
