#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <random>

#include "model/safetensors.h"
#include "outputs/input_error.h"
#include "tests/fuzz/mutate.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/shared_data.h"
#include "tests/support/tiny_checkpoint.h"

namespace headscope::testing {
namespace {

using Catch::Matchers::Contains;
using model::open_safetensors;
using model::WeightSource;

// The refusal of one file with this header and data.
std::string refusal(const std::string& header, const std::string& data = std::string(16, '\0')) {
  const ScratchFolder dir;
  write_file(dir.file("model.safetensors"), safetensors_bytes(header, data));
  try {
    (void)open_safetensors(dir.path().string());
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

std::string entry(const std::string& name,
                  const std::string& dtype,
                  const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
         ",\"data_offsets\":" + offsets + "}";
}

TEST_CASE("a tensor is loaded at the chosen dtype from each stored dtype", "[model]") {
  const std::vector<float> values = {0.0F, 1.5F, -2.25F, 1024.0F, -0.0078125F, 3.0F};
  for (const std::string stored : {"F32", "F16", "BF16"}) {
    // The odd-length first tensor leaves the second one unaligned in the file.
    const ScratchFolder dir;
    const RawTensor padding{"padding", {1}, "U8", std::string(1, 'x')};
    write_file(dir.file("model.safetensors"),
               safetensors_bytes({padding, make_tensor("a", {2, 3}, values, stored)}));
    const auto weights = open_safetensors(dir.path().string());
    INFO("stored as " << stored);
    for (const at::ScalarType dtype : {at::kFloat, at::kHalf, at::kBFloat16}) {
      const at::Tensor loaded = weights->load("a", dtype, at::kCPU);
      CHECK(loaded.scalar_type() == dtype);
      const at::Tensor expected = at::tensor(values).view({2, 3});
      CHECK(at::equal(loaded.to(at::kFloat), expected));
    }
    CHECK(weights->sample("a", 3) == std::vector<float>{0.0F, -2.25F, 3.0F});
    CHECK(weights->sample("a", 64) == values);
    CHECK_THROWS_WITH(weights->load("padding", at::kFloat, at::kCPU),
                      Contains("padding") && Contains("F32, F16, BF16") && Contains("U8"));
    CHECK_THROWS_WITH(weights->load("absent", at::kFloat, at::kCPU), Contains("absent"));
  }
}

TEST_CASE("a lying safetensors header is refused with what is wrong", "[model]") {
  const std::string good = entry("a", "F32", "[4]", "[0,16]");
  REQUIRE(refusal("{" + good + "}") == "accepted");
  CHECK_THAT(refusal("{" + good), Contains("invalid JSON"));
  CHECK_THAT(refusal("[]"), Contains("JSON object"));
  CHECK_THAT(refusal("{" + good + "," + good + "}"), Contains("twice"));
  CHECK_THAT(refusal("{" + entry("a", "F12", "[4]", "[0,16]") + "}"),
             Contains("F12") && Contains("\"a\""));
  CHECK_THAT(refusal("{" + entry("a", "F32", "[5]", "[0,16]") + "}"), Contains("20 bytes"));
  CHECK_THAT(refusal("{" + entry("a", "F32", "[-4]", "[0,16]") + "}"), Contains("shape"));
  CHECK_THAT(refusal("{" + entry("a", "F32", "[4.5]", "[0,16]") + "}"), Contains("shape"));
  CHECK_THAT(refusal("{" + entry("a", "F32", "\"4\"", "[0,16]") + "}"), Contains("shape"));
  CHECK_THAT(refusal("{" + entry("a", "F32", "[4611686018427387904,4]", "[0,16]") + "}"),
             Contains("overflow"));
  CHECK_THAT(refusal("{" + entry("a", "F32", "[4]", "[16,0]") + "}"), Contains("data_offsets"));
  CHECK_THAT(refusal("{" + entry("a", "F32", "[8]", "[0,32]") + "}"), Contains("truncated"));
  CHECK_THAT(refusal("{" + entry("a", "F32", "[4]", "[0]") + "}"), Contains("data_offsets"));
  CHECK_THAT(refusal("{" + entry("a", "F32", "[2]", "[8,16]") + "}"), Contains("hole"));
  CHECK_THAT(refusal("{" + good + "," + entry("b", "F32", "[3]", "[4,16]") + "}"),
             Contains("overlaps"));
  CHECK_THAT(refusal("{" + entry("a", "F32", "[3]", "[0,12]") + "}"), Contains("end with"));
  CHECK_THAT(refusal("{\"a\":{\"dtype\":[[[[[[1]]]]]]}}"), Contains("nesting"));
}

TEST_CASE("a safetensors file shorter than it says is refused", "[model]") {
  const ScratchFolder dir;
  const auto refused = [&](const std::string& bytes) {
    write_file(dir.file("model.safetensors"), bytes);
    CHECK_THROWS_AS(open_safetensors(dir.path().string()), InputError);
  };
  const std::string whole = safetensors_bytes({make_tensor("a", {4}, {1, 2, 3, 4})});
  for (size_t size = 0; size < whole.size(); ++size) {
    INFO("cut to " << size << " of " << whole.size() << " bytes");
    refused(whole.substr(0, size));
  }
  refused(whole + "x");
  refused(std::string("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10));
}

TEST_CASE("shards are read by their index, or by their names without one", "[model]") {
  const ScratchFolder dir;
  const model::ModelConfig config = tiny_config();
  const std::vector<RawTensor> tensors = random_tensors(config, /*seed=*/1, "BF16");
  write_checkpoint(dir.path(), config, tensors, /*num_shards=*/3);
  const auto check = [&] {
    const auto weights = open_safetensors(dir.path().string());
    REQUIRE(weights->tensors().size() == tensors.size());
    for (const RawTensor& tensor : tensors) {
      CHECK(weights->sample(tensor.name, 1 << 20) == values_of(tensor));
    }
  };
  check();
  std::filesystem::remove(dir.path() / "model.safetensors.index.json");
  check();
  std::filesystem::remove(dir.path() / "model-00002-of-00003.safetensors");
  CHECK_THROWS_WITH(open_safetensors(dir.path().string()),
                    Contains("model-00002-of-00003.safetensors"));
}

TEST_CASE("an index is not believed", "[model]") {
  const ScratchFolder dir;
  const model::ModelConfig config = tiny_config();
  write_checkpoint(dir.path(), config, random_tensors(config, /*seed=*/2), /*num_shards=*/2);
  const std::string path = dir.file("model.safetensors.index.json");
  const auto refused = [&](const std::string& index, const std::string& because) {
    write_file(path, index);
    CHECK_THROWS_WITH(open_safetensors(dir.path().string()), Contains(because));
  };
  refused("{", "invalid JSON");
  refused("{\"weight_map\":{}}", "weight_map");
  refused("{\"weight_map\":{\"a\":\"../secret.safetensors\"}}", "file name");
  refused("{\"weight_map\":{\"a\":7}}", "file name");
  refused("{\"weight_map\":{\"a\":\"model-00009-of-00009.safetensors\"}}",
          "model-00009-of-00009.safetensors");
  refused("{\"weight_map\":{\"absent\":\"model-00001-of-00002.safetensors\"}}", "absent");
}

TEST_CASE("a published index without its shards names the missing one", "[model]") {
  const auto folder = shared_data("tokenizers/mistral-7b-v0.1");
  if (!folder) return;
  CHECK_THROWS_WITH(open_safetensors(folder->string()),
                    Contains("model-00001-of-00002.safetensors"));
}

TEST_CASE("a directory without safetensors says what was looked for", "[model]") {
  const ScratchFolder dir;
  CHECK_THROWS_WITH(open_safetensors(dir.path().string()), Contains("model.safetensors"));
  write_file(dir.file("pytorch_model.bin"), "x");
  CHECK_THROWS_WITH(open_safetensors(dir.path().string()), Contains("pytorch_model.bin"));
}

TEST_CASE("a damaged safetensors header ends in success or a refusal", "[model]") {
  const ScratchFolder dir;
  model::ModelConfig config = tiny_config();
  config.num_layers = 1;
  const std::string whole = safetensors_bytes(random_tensors(config, /*seed=*/3, "BF16"));
  const size_t header = whole.find("}}") + 8;
  std::mt19937_64 generator(20240607);
  int num_refused = 0;
  for (int round = 0; round < 2000; ++round) {
    INFO("seed 20240607, round " << round);
    write_file(dir.file("model.safetensors"), mutate(whole, header, generator));
    try {
      const auto weights = open_safetensors(dir.path().string());
      for (const model::TensorInfo& info : weights->tensors()) {
        (void)weights->sample(info.name, 2);
      }
    } catch (const InputError&) {
      ++num_refused;
    }
  }
  CHECK(num_refused > 1000);
}

}  // namespace
}  // namespace headscope::testing
