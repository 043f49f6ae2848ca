#include "outputs/interop/duo_pattern.h"

#include <catch2/catch.hpp>

#include "outputs/atomic_file.h"
#include "outputs/input_error.h"
#include "tests/outputs/samples.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/shared_data.h"

namespace headscope::outputs {
namespace {

using Catch::Contains;
using headscope::testing::shared_data;
using testing::ScratchFolder;

TEST_CASE("a table of gates is read with the sizes that lie beside it", "[outputs]") {
  const ScratchFolder folder;
  write_file_atomically(folder / "full_attention_heads.tsv",
                        "1.0e+00\t-1.4e-03\n6.5e-01\t1.25\r\n0\t1", false);
  write_file_atomically(folder / "config.json",
                        R"({"sink_size": 64, "recent_size": 256, "model_name": "models/x"})",
                        false);
  for (const auto& path : {folder / "full_attention_heads.tsv", folder / ""}) {
    const DuoPattern pattern = read_duo_pattern(path);
    CHECK(pattern.gates.num_layers == 3);
    CHECK(pattern.gates.num_heads == 2);
    CHECK(pattern.gates.values == std::vector<double>{1.0, 0.0, 0.65, 1.0, 0.0, 1.0});
    CHECK(pattern.sink_size == 64);
    CHECK(pattern.recent_size == 256);
    CHECK(pattern.model_name == "models/x");
    REQUIRE(pattern.warnings.size() == 1);
    CHECK_THAT(pattern.warnings[0], Contains("2 gates"));
  }
}

TEST_CASE("a bare ranking of KV heads is the same table, whatever else lies beside it",
          "[outputs]") {
  const ScratchFolder folder;
  write_file_atomically(folder / "ranking.tsv", "0.5\t0.25\n0.75\t0\n", false);
  write_file_atomically(folder / "config.json", R"({"hidden_size": 64})", false);
  const DuoPattern pattern = read_duo_pattern(folder / "ranking.tsv");
  CHECK(pattern.gates.at(1, 0) == 0.75);
  CHECK_FALSE(pattern.sink_size.has_value());
  CHECK(pattern.warnings.empty());
}

TEST_CASE("damaged tables of gates are refused by line and column", "[outputs]") {
  const ScratchFolder folder;
  int counter = 0;
  const auto refuses = [&](const std::string& text, const std::string& place) {
    const auto path = folder / (std::to_string(counter++) + ".tsv");
    write_file_atomically(path, text, false);
    INFO(text);
    CHECK_THROWS_WITH(read_duo_pattern(path), Contains(place));
  };
  refuses("", "a row of gates");
  refuses("\n\n", "a row of gates");
  refuses("0.5\t0.25\n0.75\n", "line 2");
  refuses("0.5\t0.25\n\n0.5\t0.25\n", "line 2");
  refuses("0.5\tx\n", "line 1, column 2");
  refuses("0.5\t\n", "line 1, column 2");
  refuses("0.5 0.25\n", "line 1, column 1");
  refuses("nan\t0.25\n", "line 1, column 1");
  refuses("0.5\tinf\n", "line 1, column 2");
  write_file_atomically(folder / "config.json", R"({"sink_size": -1, "recent_size": 256})", false);
  refuses("0.5\t0.25\n", "sink_size");
  write_file_atomically(folder / "config.json", R"({"sink_size": 4})", true);
  refuses("0.5\t0.25\n", "recent_size");
}

TEST_CASE("DuoAttention's published patterns are read", "[outputs]") {
  const auto path = shared_data("head_scores/DuoAttention/Llama-2-7B-32K-Instruct");
  if (!path) return;
  const DuoPattern pattern = read_duo_pattern(*path);
  CHECK(pattern.gates.num_layers == 32);
  CHECK(pattern.gates.num_heads == 32);
  CHECK(pattern.sink_size == 128);
  CHECK(pattern.recent_size == 256);
  CHECK(pattern.model_name == "models/Llama-2-7B-32K-Instruct");
}

}  // namespace
}  // namespace headscope::outputs
