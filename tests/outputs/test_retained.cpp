#include <catch2/catch.hpp>
#include <cmath>

#include "outputs/atomic_file.h"
#include "outputs/file_kind.h"
#include "outputs/hdf5_file.h"
#include "outputs/input_error.h"
#include "outputs/retained_picture.h"
#include "outputs/retained_tokens.h"
#include "tests/outputs/samples.h"
#include "tests/support/scratch_folder.h"

namespace headscope::outputs {
namespace {

using testing::ScratchFolder;

// "The code is 4821.\nYes" of two layers with two KV heads.
RetainedTokens sample() {
  RetainedTokens retained;
  retained.model = "tiny";
  retained.method = "snapkv";
  retained.prompt_ids = {5, 6, 7, 8, 9, 10, 11};
  retained.pieces = {"The", " code", " is", " 48", "21", ".\n", "Yes"};
  retained.kept = {{{0, 3, 4, 6}, {0, 1}}, {{3, 4}, {3, 6}}};
  retained.answer_positions = {3, 4};
  return retained;
}

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

}  // namespace

TEST_CASE("the tokens of an answer are those that hold a part of it, wherever it stands",
          "[outputs]") {
  const std::vector<std::string> pieces = {"a 4", "82", "1 b", " 48", "21", "."};
  CHECK(find_answer(pieces, "4821") == std::vector<int64_t>{0, 1, 2, 3, 4});
  CHECK(find_answer(pieces, "  21.\n") == std::vector<int64_t>{4, 5});
  CHECK(find_answer(pieces, "b") == std::vector<int64_t>{2});
  CHECK(find_answer(pieces, "9").empty());
  CHECK(find_answer(pieces, " \n").empty());
  CHECK(find_answer({}, "x").empty());
}

TEST_CASE("an answer's recall and the kept share are as counted by hand", "[outputs]") {
  const RetainedTokens retained = sample();
  CHECK(answer_recall(retained) == std::vector<double>{0.5, 0.75});
  CHECK(kept_share(retained) == std::vector<double>{0.5, 0.25, 0.0, 0.75, 0.5, 0.0, 0.5});
  RetainedTokens unknown = sample();
  unknown.answer_positions.clear();
  CHECK(std::isnan(answer_recall(unknown).at(1)));
}

TEST_CASE("retained tokens come back as they were written", "[outputs]") {
  const ScratchFolder folder;
  const RetainedTokens written = sample();
  write_retained(written, folder / "r.h5", false);
  CHECK(describe_file(folder / "r.h5").kind == FileKind::kRetained);
  const RetainedTokens read = read_retained(folder / "r.h5");
  CHECK(read.model == written.model);
  CHECK(read.method == written.method);
  CHECK(read.prompt_ids == written.prompt_ids);
  CHECK(read.pieces == written.pieces);
  CHECK(read.kept == written.kept);
  CHECK(read.answer_positions == written.answer_positions);
}

TEST_CASE("files of version 1.0 are read, and positions outside the prompt refused", "[outputs]") {
  const ScratchFolder folder;
  const auto write = [&](const std::string& name, const std::vector<int64_t>& kept) {
    const std::vector<int64_t> ids = {1, 2, 3};
    Hdf5Writer file(folder / name, false);
    file.attribute("", "format", "headscope.retained");
    file.attribute("", "format_version", "1.0");
    file.dataset("prompt_ids", std::span<const int64_t>(ids), {3});
    file.dataset("layer_00/kv_head_00", std::span<const int64_t>(kept),
                 {static_cast<int64_t>(kept.size())});
    file.commit();
  };
  write("old.h5", {0, 2});
  const RetainedTokens old = read_retained(folder / "old.h5");
  CHECK(old.kept == std::vector<std::vector<std::vector<int64_t>>>{{{0, 2}}});
  CHECK(old.pieces.empty());
  CHECK_THROWS_WITH(write_retained_picture(old, folder / "x.svg", false),
                    Catch::Contains("--prompt"));
  write("beyond.h5", {0, 3});
  CHECK_THROWS_WITH(read_retained(folder / "beyond.h5"), Catch::Contains("kv_head_00"));
  write("twice.h5", {1, 1});
  CHECK_THROWS_AS(read_retained(folder / "twice.h5"), InputError);
}

TEST_CASE("the picture shows every token once, and outlines the answer's", "[outputs]") {
  const ScratchFolder folder;
  write_retained_picture(sample(), folder / "x.svg", false);
  write_retained_picture(sample(), folder / "x.png", false);
  const std::string svg = read_file(folder / "x.svg");
  // Never kept is white: " is" and ".", and the sheet itself.
  CHECK(count(svg, "fill:rgb(100%,100%,100%)") == 3);
  // Outlines: two tokens and the legend's sample, in the colour of the recall bars.
  CHECK(count(svg, "stroke:rgb(80%,15%,10%)") == 3);
  CHECK(count(svg, "fill:rgb(80%,15%,10%)") == 2);
  CHECK(read_file(folder / "x.png").substr(1, 3) == "PNG");
  CHECK_THROWS_AS(write_retained_picture(sample(), folder / "x.txt", false), InputError);
}

}  // namespace headscope::outputs
