#include <catch2/catch.hpp>
#include <cmath>

#include "outputs/atomic_file.h"
#include "outputs/evaluation_file.h"
#include "outputs/file_kind.h"
#include "outputs/interop/head_order.h"
#include "outputs/interop/layer_score.h"
#include "outputs/interop/retrieval_scores.h"
#include "outputs/plan_file.h"
#include "outputs/profile_file.h"
#include "tests/outputs/samples.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/shared_data.h"

namespace headscope::outputs {
namespace {

using testing::ScratchFolder;
using testing::shared_data;

// What `read` complains of when the file holds `text`.
template <typename Read>
std::string complaint_of(Read read, const std::string& text) {
  const ScratchFolder folder;
  write_file_atomically(folder / "f.json", text, false);
  return complaint([&] { static_cast<void>(read(folder / "f.json")); });
}

FileKind kind_of_text(const std::string& text) {
  const ScratchFolder folder;
  write_file_atomically(folder / "file", text, false);
  return describe_file(folder / "file").kind;
}

bool warns_of(const std::vector<std::string>& warnings, const std::string& part) {
  for (const std::string& warning : warnings) {
    if (contains(warning, part)) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("a published head order is written back byte for byte", "[outputs]") {
  for (const char* name : {"Llama-3.1-8B-Instruct", "Mistral-7B-Instruct-v0.3"}) {
    const auto path = shared_data("head_scores/CompressKV/" + std::string(name) + "_head_idx.json");
    if (!path) return;
    const HeadOrder order = read_head_order(*path);
    CHECK(order.size() == 32);
    CHECK(order[0].size() == 32);
    CHECK(head_order_to_json(order) == read_file(*path));
    CHECK(describe_file(*path).kind == FileKind::kHeadOrder);
  }
}

TEST_CASE("a head order is one line and survives its file", "[outputs]") {
  const ScratchFolder folder;
  const HeadOrder order{{2, 0, 1}, {1, 2, 0}};
  write_head_order(order, folder / "o.json", false);
  CHECK(read_file(folder / "o.json") == R"({"0": [2, 0, 1], "1": [1, 2, 0]})");
  CHECK(read_head_order(folder / "o.json") == order);
  CHECK_THROWS_AS(head_order_to_json({{0, 0}}), std::invalid_argument);
  CHECK_THROWS_AS(head_order_to_json({}), std::invalid_argument);
}

TEST_CASE("a head order that is no permutation is refused by layer", "[outputs]") {
  CHECK(contains(complaint_of(read_head_order, R"({"0": [0, 1], "1": [1, 1]})"), "head 1 twice"));
  CHECK(contains(complaint_of(read_head_order, R"({"0": [0, 1], "1": [0, 2]})"), "0 to 1"));
  CHECK(contains(complaint_of(read_head_order, R"({"0": [0, 1], "1": [0]})"), "2 heads"));
  CHECK(contains(complaint_of(read_head_order, R"({"0": [0], "2": [0]})"), "'1'"));
  CHECK(contains(complaint_of(read_head_order, R"({"0": [], "1": []})"), "at least one head"));
  CHECK(contains(complaint_of(read_head_order, R"({})"), "at least one layer"));
  CHECK(contains(complaint_of(read_head_order, R"([[0]])"), "an object"));
}

TEST_CASE("published retrieval scores are read, and their repeated trials counted", "[outputs]") {
  const auto path = shared_data("head_scores/CompressKV/Llama-3.1-8B-Instruct.json");
  if (!path) return;
  const RetrievalScores scores = read_retrieval_scores(*path);
  CHECK(scores.num_layers == 32);
  CHECK(scores.num_query_heads == 32);
  CHECK(scores.num_trials == 509);
  CHECK(scores.num_distinct_trials == 89);
  CHECK(scores.mean.at(15, 30) == Approx(0.9016).margin(5e-5));
  CHECK(scores.mean.at(16, 20) == Approx(0.5272).margin(5e-5));
  CHECK(warns_of(scores.warnings, "89 of 509"));
  CHECK(warns_of(scores.warnings, "19 trials are zero"));
  CHECK(warns_of(scores.warnings, "outside 0..1"));
  CHECK(describe_file(*path).kind == FileKind::kRetrievalScores);
  const auto other =
      shared_data("head_scores/HeadKV/Meta-Llama-3-8B-Instruct_retrieval_heads.json");
  if (!other) return;
  CHECK(read_retrieval_scores(*other).num_trials == 107);
  CHECK(read_retrieval_scores(*other).num_distinct_trials == 87);
}

TEST_CASE("retrieval scores are averaged over trials", "[outputs]") {
  const ScratchFolder folder;
  write_file_atomically(folder / "s.json",
                        R"({"0-1": [0.5, 1], "0-0": [0, 0], "1-0": [0.25, 0.75], "1-1": [1, 1]})",
                        false);
  const RetrievalScores scores = read_retrieval_scores(folder / "s.json");
  CHECK(scores.mean.values == std::vector<double>{0.0, 0.75, 0.5, 1.0});
  CHECK(scores.samples == std::vector<float>{0.0F, 0.5F, 0.25F, 1.0F, 0.0F, 1.0F, 0.75F, 1.0F});
  CHECK(scores.num_distinct_trials == 2);
  CHECK(scores.warnings.empty());
}

TEST_CASE("unsound retrieval scores are refused by key", "[outputs]") {
  const auto of = [](const std::string& text) { return complaint_of(read_retrieval_scores, text); };
  CHECK(contains(of(R"({"0-0": [1, 2], "0-1": [1]})"), "0-1: expected 2 trials"));
  CHECK(contains(of(R"({"0-0": [1], "0-2": [1]})"), "every head"));
  CHECK(contains(of(R"({"0-0": [1], "99999999999999999999-1": [1]})"), "layer-head"));
  CHECK(contains(of(R"({"0-0": [1], "9223372036854775807-1": [1]})"), "layer-head"));
  CHECK(contains(of(R"({"0-0": [1], "00-1": [1]})"), "'00-1'"));
  CHECK(contains(of(R"({"0-0": ["x"]})"), "0-0[0]"));
  CHECK(contains(of(R"({"0-0": []})"), "at least one trial"));
  CHECK(contains(of(R"({})"), "at least one head"));
}

TEST_CASE("published layer scores are read without complaint", "[outputs]") {
  for (const char* name : {"Llama-3.1-8B-Instruct", "Mistral-7B-Instruct-v0.3"}) {
    const auto path =
        shared_data("head_scores/CompressKV/" + std::string(name) + "_layer_score.jsonl");
    if (!path) return;
    const LayerScore score = read_layer_score(*path);
    CHECK(score.num_layers == 32);
    CHECK(score.tasks.size() == 16);
    CHECK(score.warnings.empty());
    CHECK(score.average[0] == Approx(name[0] == 'L' ? 0.01841 : 0.03113).margin(5e-6));
    CHECK(describe_file(*path).kind == FileKind::kLayerScore);
  }
}

TEST_CASE("layer scores are read from one object and from one object per line", "[outputs]") {
  const ScratchFolder folder;
  write_file_atomically(folder / "a", "{\"qa\": [0.25, 0.75]}\n{\"code\": [0.75, 0.25]}\n", false);
  const LayerScore lines = read_layer_score(folder / "a");
  CHECK(lines.average == std::vector<double>{0.5, 0.5});
  CHECK(describe_file(folder / "a").kind == FileKind::kLayerScore);
  write_file_atomically(folder / "b", R"({"qa": [0.25, 0.75], "avg_score": [0.5, 0.5]})", false);
  CHECK(warns_of(read_layer_score(folder / "b").warnings, "not the normalised mean"));
  write_file_atomically(folder / "c", "{\"qa\": [1, 1]}\n{\"qa\": [0.5, 0.5]}\n", false);
  const LayerScore twice = read_layer_score(folder / "c");
  CHECK(warns_of(twice.warnings, "given twice"));
  CHECK(warns_of(twice.warnings, "sums to 2"));
  CHECK(twice.tasks.at("qa") == std::vector<double>{0.5, 0.5});
}

TEST_CASE("unsound layer scores are refused by data set", "[outputs]") {
  CHECK(contains(complaint_of(read_layer_score, R"({"qa": [0.5, 0.5], "zz": [1]})"), "zz"));
  CHECK(contains(complaint_of(read_layer_score, R"({"qa": [1.5, -0.5]})"), "qa[1]"));
  CHECK(contains(complaint_of(read_layer_score, R"({"qa": []})"), "at least one layer"));
  CHECK(contains(complaint_of(read_layer_score, R"({})"), "at least one data set"));
  CHECK(contains(complaint_of(read_layer_score, "{\"qa\": [1]}\n{\"zz\": [1, 0]}\n"), "line 2"));
}

TEST_CASE("a file's kind is read from its content", "[outputs]") {
  const ScratchFolder folder;
  write_profile(sample_profile(), folder / "a.txt", false);
  write_plan(sample_plan(), folder / "b.json", false);
  write_plan(sample_plan(), folder / "b.h5", false);
  write_evaluation(sample_evaluation(), folder / "c.json", false);
  write_evaluation(sample_evaluation(), folder / "c.h5", false);
  CHECK(describe_file(folder / "a.txt").kind == FileKind::kProfile);
  CHECK(describe_file(folder / "a.txt").format_version == kProfileFormatVersion);
  CHECK(describe_file(folder / "b.json").kind == FileKind::kPlan);
  CHECK(describe_file(folder / "b.h5").kind == FileKind::kPlan);
  CHECK(describe_file(folder / "c.json").kind == FileKind::kEvaluation);
  CHECK(describe_file(folder / "c.h5").kind == FileKind::kEvaluation);
  CHECK(kind_of_text("GGUF\x03") == FileKind::kModel);
  CHECK(kind_of_text(std::string("\x02\0\0\0\0\0\0\0{}", 10)) == FileKind::kModel);
  CHECK(kind_of_text("PK\x03\x04...") == FileKind::kTorchPickle);
  CHECK(kind_of_text("1.0e+00\t-5.0e-04\n0.0e+00\t1.0e+00\n") == FileKind::kDuoPattern);
  CHECK(kind_of_text("1.0\t2.0\n1.0\n") == FileKind::kUnknown);
  CHECK(kind_of_text("") == FileKind::kUnknown);
  CHECK(kind_of_text("{") == FileKind::kUnknown);
  CHECK(kind_of_text("{\"format\": \"headscope.plan\", \"format_version\": \"9.0\"}") ==
        FileKind::kPlan);
  CHECK(kind_of_text("[1, 2]") == FileKind::kUnknown);
  CHECK(kind_of_text(std::string("a\0b", 3)) == FileKind::kUnknown);
  CHECK(describe_file(folder.path()).kind == FileKind::kUnknown);
  write_file_atomically(folder / "config.json", "{}", false);
  CHECK(describe_file(folder.path()).kind == FileKind::kModel);
  CHECK(contains(complaint([&] { static_cast<void>(describe_file(folder / "none")); }), "none"));
}

TEST_CASE("published head files of other projects are recognised", "[outputs]") {
  const auto duo =
      shared_data("head_scores/DuoAttention/Meta-Llama-3.1-8B-Instruct/full_attention_heads.tsv");
  if (!duo) return;
  CHECK(describe_file(*duo).kind == FileKind::kDuoPattern);
  const auto pickle = shared_data("head_scores/KVzip/llama3.1-8b-scbench_qa_eng-0.pt");
  if (!pickle) return;
  CHECK(kind_name(describe_file(*pickle).kind) == "torch_pickle");
}

}  // namespace headscope::outputs
