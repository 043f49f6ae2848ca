// Runs checkpoints for decoder_parity.py: reads a manifest of jobs, writes raw little-endian
// float32 logits [num_tokens, vocab] or, for mode "greedy", a JSON list of ids.
//
// Usage: decoder_logits MANIFEST.json
//   [{"model": PATH, "ids": [...], "mode": "prefill" | "chunked" | "stepwise" | "greedy",
//     "out": FILE, "max_new_tokens": N}, ...]; jobs of one model stand next to each other.
#include <ATen/ATen.h>

#include <exception>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "model/decoder.h"
#include "model/generate.h"
#include "model/model.h"
#include "runtime/full_kv_cache.h"

namespace {

using headscope::model::Decoder;
using headscope::model::LogitRows;
using headscope::runtime::FullKvCache;

constexpr int64_t kChunkTokens = 64;

at::Tensor logits_of(const Decoder& decoder,
                     const std::vector<int64_t>& ids,
                     const std::string& mode) {
  FullKvCache cache(decoder.config().num_layers);
  if (mode == "stepwise") {
    std::vector<at::Tensor> rows;
    for (const int64_t id : ids) {
      rows.push_back(decoder.forward(at::full({1, 1}, id, at::kLong), cache).squeeze(0));
    }
    return at::cat(rows, /*dim=*/0);
  }
  const auto all = static_cast<int64_t>(ids.size());
  return decoder
      .prefill(ids, cache,
               {.chunk_tokens = mode == "chunked" ? kChunkTokens : all, .logits = LogitRows::kAll})
      .squeeze(0);
}

void run_job(const Decoder& decoder, const nlohmann::json& job) {
  const auto ids = job.at("ids").get<std::vector<int64_t>>();
  const auto mode = job.at("mode").get<std::string>();
  std::ofstream out(job.at("out").get<std::string>(), std::ios::binary);
  if (mode == "greedy") {
    FullKvCache cache(decoder.config().num_layers);
    const auto result =
        headscope::model::generate(decoder, cache, ids,
                                   {.max_new_tokens = job.at("max_new_tokens").get<int64_t>(),
                                    .stop_ids = decoder.config().eos_token_ids});
    out << nlohmann::json(result.generated_ids);
  } else {
    const at::Tensor logits = logits_of(decoder, ids, mode).contiguous();
    out.write(static_cast<const char*>(logits.const_data_ptr()),
              static_cast<std::streamsize>(logits.nbytes()));
  }
  if (!out.flush()) throw std::runtime_error("cannot write " + job.at("out").get<std::string>());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: decoder_logits MANIFEST.json\n";
    return 2;
  }
  try {
    const nlohmann::json jobs = nlohmann::json::parse(std::ifstream(argv[1]));
    std::string opened;
    std::unique_ptr<Decoder> decoder;
    for (const nlohmann::json& job : jobs) {
      if (const auto path = job.at("model").get<std::string>(); path != opened) {
        const auto source = headscope::model::open_model_source(path);
        decoder =
            std::make_unique<Decoder>(source->config(), source->weights(), at::kFloat, at::kCPU);
        opened = path;
      }
      run_job(*decoder, job);
    }
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}
