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
#include <memory>
#include <stdexcept>
#include <string>

#include "analysis/quantile.h"
#include "model/decoder.h"
#include "model/model.h"
#include "runtime/full_kv_cache.h"
#include "tests/benchmarks/compared_case.h"
#include "tests/benchmarks/prefill_model.h"
#include "tests/benchmarks/python_run.h"
#include "tests/benchmarks/smollm2_shape.h"

namespace headscope::benchmarks {
namespace {

ComparedCase make_case(const std::shared_ptr<const PrefillModel>& model,
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
    const auto model = std::make_shared<const PrefillModel>(config, at::kFloat);
    check_case(make_case(model, 150, config.vocab_size, at::kFloat, 1e-4));
    return rows;
  }
  const model::ModelConfig config = smollm2_config();
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const auto model = std::make_shared<const PrefillModel>(config, dtype);
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
