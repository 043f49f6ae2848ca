#include "outputs/profile_file.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <random>
#include <thread>

#include "outputs/atomic_file.h"
#include "outputs/hdf5_file.h"
#include "tests/outputs/samples.h"
#include "tests/support/scratch_folder.h"

namespace headscope::outputs {
namespace {

using testing::ScratchFolder;

// Bitwise, so that NaN equals NaN.
template <typename T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

void check_same_probes(const std::vector<ProbeRecord>& found,
                       const std::vector<ProbeRecord>& expected) {
  REQUIRE(found.size() == expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const ProbeRecord& a = found[i];
    const ProbeRecord& b = expected[i];
    CHECK(a.id == b.id);
    CHECK(a.family == b.family);
    CHECK(a.needle_id == b.needle_id);
    CHECK(a.prompt_format == b.prompt_format);
    CHECK(a.context_length == b.context_length);
    CHECK(a.asked_depth == b.asked_depth);
    CHECK(a.achieved_depth == b.achieved_depth);
    CHECK(a.needle_spans == b.needle_spans);
    CHECK(a.answer_spans == b.answer_spans);
    CHECK(a.answer == b.answer);
    CHECK(a.response == b.response);
    CHECK(a.success == b.success);
    CHECK(a.gate_value == b.gate_value);
    CHECK(a.prompt_hash == b.prompt_hash);
  }
}

void check_same_scores(const std::map<std::string, ScoreTable>& found,
                       const std::map<std::string, ScoreTable>& expected) {
  REQUIRE(found.size() == expected.size());
  for (const auto& [name, table] : expected) {
    CHECK(same_bits(found.at(name).samples, table.samples));
    CHECK(same_bits(found.at(name).mean.values, table.mean.values));
  }
}

void check_equal(const HeadProfile& found, const HeadProfile& expected) {
  CHECK(found.model.name == expected.model.name);
  CHECK(found.model.fingerprint == expected.model.fingerprint);
  CHECK(found.model.shape == expected.model.shape);
  CHECK(found.provenance.options == expected.provenance.options);
  CHECK(found.provenance.seed == expected.provenance.seed);
  CHECK(found.provenance.seconds == expected.provenance.seconds);
  CHECK(found.provenance.tool_version == expected.provenance.tool_version);
  check_same_probes(found.probes, expected.probes);
  check_same_scores(found.scores, expected.scores);
  check_same_probes(found.controls.probes, expected.controls.probes);
  check_same_scores(found.controls.scores, expected.controls.scores);
  REQUIRE(found.error_curves.size() == expected.error_curves.size());
  for (const auto& [name, curves] : expected.error_curves) {
    const ErrorCurves& other = found.error_curves.at(name);
    CHECK(other.budgets == curves.budgets);
    CHECK(other.tasks == curves.tasks);
    CHECK(other.samples == curves.samples);
    CHECK(other.samples_summed == curves.samples_summed);
    CHECK(other.layer == curves.layer);
    CHECK(other.kv_head == curves.kv_head);
    CHECK(other.task_weights == curves.task_weights);
    CHECK(other.kv_head_squared == curves.kv_head_squared);
    CHECK(other.prompt_task == curves.prompt_task);
    CHECK(other.prompt_layer == curves.prompt_layer);
    CHECK(other.kl_budgets == curves.kl_budgets);
    CHECK(other.prompt_kl == curves.prompt_kl);
  }
}

// Writes `bytes` where a profile is expected and returns the reader's complaint.
std::string complaint_about_bytes(const ScratchFolder& folder, const std::string& bytes) {
  std::ofstream(folder / "damaged.h5", std::ios::binary) << bytes;
  return complaint([&] { static_cast<void>(read_profile(folder / "damaged.h5")); });
}

void write_minimal(Hdf5Writer& file, const std::string& format, const std::string& version) {
  file.attribute("/", "format", format);
  file.attribute("/", "format_version", version);
}

}  // namespace

TEST_CASE("a profile survives its file", "[outputs]") {
  const ScratchFolder folder;
  const HeadProfile profile = sample_profile();
  write_profile(profile, folder / "p.h5", false);
  check_equal(read_profile(folder / "p.h5"), profile);
  CHECK(folder.names().size() == 1);
}

TEST_CASE("a profile without probes, scores or curves survives its file", "[outputs]") {
  const ScratchFolder folder;
  HeadProfile profile;
  profile.model = sample_model();
  profile.model.shape.attention_window.clear();
  write_profile(profile, folder / "p.h5", false);
  check_equal(read_profile(folder / "p.h5"), profile);
}

TEST_CASE("a large profile survives its file", "[outputs]") {
  const ScratchFolder folder;
  HeadProfile profile = sample_profile();
  profile.model.shape.num_layers = 80;
  profile.model.shape.num_query_heads = 64;
  profile.model.shape.num_kv_heads = 8;
  profile.model.shape.attention_window.clear();
  profile.error_curves.clear();
  profile.controls = {};
  const ProbeRecord record = profile.probes.back();
  profile.probes.assign(100, record);
  std::mt19937 random(7);
  INFO("seed 7");
  ScoreTable& table = profile.scores["srh"];
  table.samples.resize(size_t{100} * 80 * 64);
  for (float& value : table.samples) value = static_cast<float>(random()) / 4294967296.0F;
  table.mean = HeadMatrix(80, 64, 0.25);
  write_profile(profile, folder / "p.h5", false);
  check_equal(read_profile(folder / "p.h5"), profile);
}

TEST_CASE("equal profiles give equal bytes", "[outputs]") {
  const ScratchFolder folder;
  const HeadProfile profile = sample_profile();
  write_profile(profile, folder / "a.h5", false);
  // File times count in seconds: two writes in one second would agree by chance.
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  write_profile(profile, folder / "b.h5", false);
  CHECK(read_file(folder / "a.h5") == read_file(folder / "b.h5"));
}

TEST_CASE("a profile grows by being written again", "[outputs]") {
  const ScratchFolder folder;
  HeadProfile profile = sample_profile();
  const ErrorCurves curves = profile.error_curves.at("srh4");
  profile.error_curves.clear();
  write_profile(profile, folder / "p.h5", false);
  HeadProfile again = read_profile(folder / "p.h5");
  again.error_curves["srh4"] = curves;
  CHECK_THROWS_AS(write_profile(again, folder / "p.h5", false), InputError);
  write_profile(again, folder / "p.h5", true);
  check_equal(read_profile(folder / "p.h5"), sample_profile());
}

TEST_CASE("every truncation of a profile is refused", "[outputs]") {
  const ScratchFolder folder;
  write_profile(sample_profile(), folder / "p.h5", false);
  const std::string bytes = read_file(folder / "p.h5");
  for (size_t length = 0; length < bytes.size(); length += length < 256 ? 1 : 97) {
    INFO("length " << length << " of " << bytes.size());
    REQUIRE_FALSE(complaint_about_bytes(folder, bytes.substr(0, length)).empty());
  }
  CHECK_FALSE(complaint_about_bytes(folder, bytes.substr(0, bytes.size() - 1)).empty());
  CHECK(complaint_about_bytes(folder, bytes).empty());
}

TEST_CASE("bytes after a profile are refused", "[outputs]") {
  const ScratchFolder folder;
  write_profile(sample_profile(), folder / "p.h5", false);
  const std::string bytes = read_file(folder / "p.h5");
  CHECK(contains(complaint_about_bytes(folder, bytes + "x"), "damaged"));
  CHECK(contains(complaint_about_bytes(folder, bytes + std::string(4096, '\0')), "damaged"));
}

TEST_CASE("a flipped byte of a profile is refused or changes nothing that was measured",
          "[outputs]") {
  const ScratchFolder folder;
  const HeadProfile profile = sample_profile();
  write_profile(profile, folder / "p.h5", false);
  const std::string bytes = read_file(folder / "p.h5");
  size_t refused = 0;
  size_t tried = 0;
  for (size_t at = 0; at < bytes.size(); at += 61, ++tried) {
    INFO("byte " << at << " of " << bytes.size());
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x55);
    if (!complaint_about_bytes(folder, damaged).empty()) {
      ++refused;
      continue;
    }
    const HeadProfile found = read_profile(folder / "damaged.h5");
    REQUIRE(same_bits(found.scores.at("srh").samples, profile.scores.at("srh").samples));
    REQUIRE(same_bits(found.scores.at("srh").mean.values, profile.scores.at("srh").mean.values));
    REQUIRE(found.error_curves.at("srh4").samples == profile.error_curves.at("srh4").samples);
    REQUIRE(found.error_curves.at("srh4").layer == profile.error_curves.at("srh4").layer);
  }
  INFO(refused << " of " << tried << " refused");
  CHECK(refused > tried / 4);
}

TEST_CASE("files of another format or a newer version are refused", "[outputs]") {
  const ScratchFolder folder;
  const auto complaint_of = [&](const std::string& format, const std::string& version) {
    Hdf5Writer file(folder / "p.h5", true);
    write_minimal(file, format, version);
    file.commit();
    return complaint([&] { static_cast<void>(read_profile(folder / "p.h5")); });
  };
  CHECK(contains(complaint_of("headscope.plan", "1.0"), "format"));
  CHECK(contains(complaint_of("headscope.profile", "2.0"), "newer headscope"));
  CHECK(contains(complaint_of("headscope.profile", "x"), "format_version"));
  CHECK(contains(complaint_of("headscope.profile", "1.0"), "model"));  // nothing else is in it
  CHECK(contains(complaint_about_bytes(folder, "not HDF5 at all"), "HDF5"));
  CHECK(contains(complaint([&] { static_cast<void>(read_profile(folder / "none.h5")); }),
                 "no such file"));
}

TEST_CASE("a profile that version 1.0 wrote is still read", "[outputs]") {
  const HeadProfile profile =
      read_profile(std::filesystem::path(HEADSCOPE_GOLDEN_FOLDER) / "profile_1_0.h5");
  REQUIRE(profile.probes.size() == 2);
  CHECK(profile.probes[0].answer == "25488");
  CHECK(profile.probes[0].needle_spans == std::vector<TokenSpan>{{85, 100}});
  CHECK(profile.probes[0].answer_spans == std::vector<TokenSpan>{{94, 99}});
  CHECK(profile.probes[1].needle_spans == std::vector<TokenSpan>{{80, 91}});
  CHECK_FALSE(profile.probes[1].success);
  CHECK(profile.scores.at("srh").mean.at(21, 8) == Approx(0.90046072));
  CHECK(profile.controls.probes.empty());
}

TEST_CASE("the layout of format version 1.1 stays as documented", "[outputs]") {
  const ScratchFolder folder;
  write_profile(sample_profile(), folder / "p.h5", false);
  const Hdf5Reader file(folder / "p.h5");
  CHECK(file.string_attribute("/", "format") == "headscope.profile");
  CHECK(file.string_attribute("/", "format_version") == "1.1");
  CHECK(file.children("/") == std::vector<std::string>{"controls", "error_curves", "model",
                                                       "probes", "provenance", "scores"});
  CHECK(file.children("controls") == std::vector<std::string>{"probes", "scores"});
  CHECK(file.dims("controls/scores/srh/samples") == Dims{1, 3, 4});
  CHECK(file.dims("probes/further_spans") == Dims{3, 4});
  CHECK(file.int_attribute("model", "num_query_heads") == 4);
  CHECK(file.string_attribute("provenance/options", "needles") == "größe.jsonl");
  CHECK(file.children("probes") ==
        std::vector<std::string>{"achieved_depth", "answer", "answer_span", "asked_depth",
                                 "context_length", "family", "further_spans", "gate_value", "id",
                                 "needle_id", "needle_span", "prompt_format", "prompt_hash",
                                 "response", "success"});
  CHECK(file.dims("probes/needle_span") == Dims{2, 2});
  CHECK(file.children("scores/srh") == std::vector<std::string>{"mean", "samples"});
  CHECK(file.dims("scores/srh/samples") == Dims{2, 3, 4});
  CHECK(file.dims("scores/srh/mean") == Dims{3, 4});
  CHECK(file.children("error_curves/srh4") ==
        std::vector<std::string>{"budgets", "kl_budgets", "kv_head", "kv_head_squared", "layer",
                                 "prompt_kl", "prompt_layer", "prompt_task", "samples",
                                 "samples_summed", "task_weights", "tasks"});
  CHECK(file.dims("error_curves/srh4/prompt_layer") == Dims{3, 3, 2});
  CHECK(file.dims("error_curves/srh4/samples") == Dims{2, 3, 2});
  CHECK(file.dims("error_curves/srh4/layer") == Dims{3, 2});
  CHECK(file.dims("error_curves/srh4/kv_head") == Dims{3, 2, 2});
}

TEST_CASE("a profile whose shapes disagree is refused by name", "[outputs]") {
  const auto complaint_after = [](auto change) {
    HeadProfile profile = sample_profile();
    change(profile);
    const std::string message = complaint([&] { check_profile(profile, "p.h5"); });
    CHECK_THROWS_AS(write_profile(profile, "/nonexistent/p.h5", false), std::invalid_argument);
    return message;
  };
  CHECK(contains(complaint_after([](HeadProfile& p) { p.scores["srh"].samples.pop_back(); }),
                 "scores/srh/samples"));
  CHECK(contains(complaint_after([](HeadProfile& p) { p.scores["srh"].mean = HeadMatrix(3, 2); }),
                 "scores/srh/mean"));
  CHECK(contains(complaint_after([](HeadProfile& p) { p.scores["a/b"] = p.scores["srh"]; }),
                 "'a/b'"));
  CHECK(contains(complaint_after([](HeadProfile& p) { p.error_curves["srh4"].layer.pop_back(); }),
                 "error_curves/srh4/layer"));
  CHECK(contains(complaint_after([](HeadProfile& p) {
                   p.error_curves["srh4"].budgets = {32, 16};
                 }),
                 "error_curves/srh4/budgets"));
  CHECK(contains(complaint_after([](HeadProfile& p) {
                   p.error_curves["srh4"].task_weights = {1.0, 0.0};
                 }),
                 "error_curves/srh4/task_weights[1]"));
  CHECK(contains(complaint_after([](HeadProfile& p) {
                   p.error_curves["srh4"].prompt_task = {0, 1, 2};
                 }),
                 "error_curves/srh4/prompt_task"));
  CHECK(contains(
      complaint_after([](HeadProfile& p) { p.error_curves["srh4"].prompt_layer.pop_back(); }),
      "error_curves/srh4/prompt_layer"));
  CHECK(contains(complaint_after([](HeadProfile& p) {
                   p.error_curves["srh4"].kl_budgets = {16, 32};
                 }),
                 "error_curves/srh4/prompt_kl"));
  CHECK(contains(complaint_after([](HeadProfile& p) { p.model.shape.num_kv_heads = 3; }),
                 "num_kv_heads"));
  CHECK(contains(complaint_after([](HeadProfile& p) {
                   p.probes[1].answer_spans = {{5, 9999}};
                 }),
                 "probes/answer_span[1]"));
}

TEST_CASE("a dataset of another shape than the model's is refused by name", "[outputs]") {
  const ScratchFolder folder;
  write_profile(sample_profile(), folder / "p.h5", false);
  const Hdf5Reader file(folder / "p.h5");
  const std::string message = complaint([&] {
    static_cast<void>(file.read<float>("scores/srh/samples", {2, 3, 5}));
  });
  CHECK(contains(message, "scores/srh/samples"));
  CHECK(contains(message, "[2, 3, 5]"));
  CHECK(contains(message, "[2, 3, 4]"));
}

}  // namespace headscope::outputs
