// A small trained model against the goldens of an independent program (llama2.c in float32).
#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "model/decoder.h"
#include "model/generate.h"
#include "model/hf_config.h"
#include "model/safetensors.h"
#include "model/trace_recorder.h"
#include "runtime/full_kv_cache.h"
#include "tests/support/shared_data.h"

namespace headscope::model {
namespace {

namespace fs = std::filesystem;
using runtime::FullKvCache;

constexpr double kBound = 1e-4;

struct Golden {
  std::vector<int64_t> ids;
  int64_t prompt_tokens = 0;
};

Golden read_golden(const fs::path& path) {
  const auto json = nlohmann::json::parse(std::ifstream(path));
  return {json.at("ids").get<std::vector<int64_t>>(), json.at("prompt_tokens").get<int64_t>()};
}

at::Tensor read_floats(const fs::path& path, std::vector<int64_t> dims) {
  const at::Tensor values = at::empty(dims, at::kFloat);
  std::ifstream file(path, std::ios::binary);
  file.read(static_cast<char*>(values.data_ptr()), static_cast<std::streamsize>(values.nbytes()));
  REQUIRE(file.gcount() == static_cast<std::streamsize>(values.nbytes()));
  return values;
}

Decoder open_decoder(const fs::path& root) {
  const std::string folder = (root / "hf").string();
  return Decoder(read_hf_config(folder), *open_safetensors(folder), at::kFloat, at::kCPU);
}

double max_difference(const at::Tensor& a, const at::Tensor& b) {
  REQUIRE(a.sizes() == b.sizes());
  return (a - b).abs().max().item<double>();
}

TEST_CASE("stories260K: logits, keys and values are llama2.c's", "[model]") {
  const auto root = testing::shared_data("models/stories260K");
  if (!root) return;
  const Decoder decoder = open_decoder(*root);
  Golden golden = read_golden(*root / "golden/greedy_lily.json");
  golden.ids.resize(160);
  const at::Tensor expected = read_floats(*root / "golden/greedy_lily.logits.f32", {160, 512});
  for (const int64_t chunk_tokens : {int64_t{160}, int64_t{48}}) {
    INFO("chunks of " << chunk_tokens);
    TraceRecorder trace({WatchPoint::kK, WatchPoint::kV}, {});
    FullKvCache cache(5);
    const at::Tensor logits = decoder.prefill(
        golden.ids, cache,
        {.chunk_tokens = chunk_tokens, .logits = LogitRows::kAll, .observer = &trace});
    CHECK(max_difference(logits.squeeze(0), expected) < kBound);
    const auto check = [&](const char* file, WatchPoint point) {
      const at::Tensor all = read_floats(*root / "golden" / file, {5, 160, 4, 8});
      for (int64_t layer = 0; layer < 5; ++layer) {
        INFO(file << " layer " << layer);
        CHECK(max_difference(trace.recorded(layer, point), all[layer]) < kBound);
      }
    };
    check("greedy_lily.keys_postrope_hf.f32", WatchPoint::kK);
    check("greedy_lily.values.f32", WatchPoint::kV);
  }
}

TEST_CASE("stories260K: single steps give llama2.c's logits", "[model]") {
  const auto root = testing::shared_data("models/stories260K");
  if (!root) return;
  const Decoder decoder = open_decoder(*root);
  const Golden golden = read_golden(*root / "golden/greedy_empty.json");
  const at::Tensor expected = read_floats(*root / "golden/greedy_empty.logits.f32", {200, 512});
  FullKvCache cache(5);
  std::vector<at::Tensor> rows;
  for (size_t i = 0; i < 200; ++i) {
    rows.push_back(decoder.forward(at::full({1, 1}, golden.ids[i], at::kLong), cache).squeeze(0));
  }
  CHECK(max_difference(at::cat(rows, 0), expected) < kBound);
}

TEST_CASE("stories260K: greedy generation is llama2.c's, token for token", "[model]") {
  const auto root = testing::shared_data("models/stories260K");
  if (!root) return;
  const Decoder decoder = open_decoder(*root);
  for (const char* file : {"greedy_empty.json", "greedy_lily.json"}) {
    INFO(file);
    const Golden golden = read_golden(*root / "golden" / file);
    const auto prompt = std::span(golden.ids).first(static_cast<size_t>(golden.prompt_tokens));
    const auto expected = std::span(golden.ids).subspan(prompt.size());
    REQUIRE(expected.size() > 100);
    FullKvCache cache(5);
    const GenerateResult result =
        generate(decoder, cache, prompt, {.max_new_tokens = static_cast<int64_t>(expected.size())});
    CHECK(result.generated_ids == std::vector<int64_t>(expected.begin(), expected.end()));
    CHECK(result.stop_reason == StopReason::kMaxNewTokens);
    CHECK(result.decode_tokens_per_second > 0.0);
  }
}

}  // namespace
}  // namespace headscope::model
