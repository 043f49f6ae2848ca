// What inspect says of profiles that are not to be trusted blindly, and of one that is.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>

#include "outputs/profile_file.h"
#include "tests/support/program.h"
#include "tests/support/scratch_folder.h"

using headscope::HeadProfile;
using headscope::ProbeRecord;
using headscope::ScoreTable;
using headscope::testing::ProgramResult;
using headscope::testing::run_headscope;
using headscope::testing::ScratchFolder;
using Json = nlohmann::json;

namespace {

constexpr int64_t kLayers = 6;
constexpr int64_t kHeads = 10;

ProbeRecord probe_of(const std::string& family, int64_t id) {
  ProbeRecord probe;
  probe.id = id;
  probe.family = family;
  probe.needle_id = family + std::to_string(id);
  probe.context_length = 100;
  probe.needle_spans = {{10, 20}};
  probe.answer_spans = {{12, 14}};
  probe.success = true;
  probe.gate_value = 1.0;
  const std::string number = std::to_string(id);
  probe.prompt_hash = std::string(63 - number.size(), family == "word" ? 'b' : 'a') + "0" + number;
  return probe;
}

struct MadeUp {
  int64_t per_family = 30;
  bool families_agree = true;
  bool windowed_layer = false;
  int64_t copies = 0;  // trials that repeat the first
};

// Heads (1, 3) and (4, 0..4) retrieve numbers; words by the same heads or by (2, 0..5).
HeadProfile made_up(const MadeUp& options) {
  std::mt19937_64 random(7);
  HeadProfile profile;
  profile.model.name = "made-up";
  profile.model.fingerprint = std::string(64, 'f');
  profile.model.shape.architecture = "llama";
  profile.model.shape.num_layers = kLayers;
  profile.model.shape.num_query_heads = kHeads;
  profile.model.shape.num_kv_heads = 5;
  profile.model.shape.head_dim = 8;
  profile.model.shape.hidden_size = 80;
  profile.model.shape.vocab_size = 100;
  profile.model.shape.max_positions = 4096;
  profile.model.shape.attention_window.assign(kLayers, 0);
  const auto noise = [&] { return static_cast<float>(random() >> 40) * 0x1.0p-24F * 0.04F; };
  const auto add = [&](ScoreTable& table, const std::string& family, bool needle) {
    for (int64_t head = 0; head < kLayers * kHeads; ++head) {
      const bool other = !options.families_agree && family == "word";
      const bool high = other ? head >= 20 && head < 26 : head == 13 || (head >= 40 && head < 45);
      float value = (needle && high ? 0.6F : 0.01F) + noise();
      if (options.windowed_layer && head < kHeads) value = std::nanf("");
      table.samples.push_back(value);
    }
  };
  for (int64_t i = 0; i < options.per_family; ++i) {
    for (const char* family : {"number", "word"}) {
      profile.probes.push_back(probe_of(family, i));
      profile.controls.probes.push_back(probe_of(family, i));
      profile.controls.probes.back().success = false;
      add(profile.scores["srh"], family, true);
      add(profile.scores["sink"], family, false);
      add(profile.controls.scores["srh"], family, false);
    }
  }
  for (auto& [name, table] : profile.scores) {
    for (int64_t copy = 0; copy < options.copies; ++copy) {
      std::copy_n(table.samples.begin(), kLayers * kHeads,
                  table.samples.begin() + (copy + 1) * kLayers * kHeads);
    }
    table.mean = headscope::HeadMatrix(kLayers, kHeads);
    for (size_t head = 0; head < table.mean.values.size(); ++head) {
      double sum = 0.0;
      for (size_t at = head; at < table.samples.size(); at += table.mean.values.size()) {
        sum += table.samples[at];
      }
      table.mean.values[head] = sum / static_cast<double>(profile.probes.size());
    }
  }
  profile.controls.scores["srh"].mean = headscope::HeadMatrix(kLayers, kHeads);
  return profile;
}

struct Inspected {
  Json trust;
  std::string text;
};

Inspected inspect(const HeadProfile& profile) {
  const ScratchFolder scratch;
  const std::string path = scratch.file("p.h5");
  headscope::outputs::write_profile(profile, path, /*overwrite=*/false);
  const ProgramResult json = run_headscope({"inspect", path, "--json"});
  const ProgramResult text = run_headscope({"inspect", path});
  INFO(json.err);
  REQUIRE(json.exit_code == 0);
  REQUIRE(text.exit_code == 0);
  return {Json::parse(json.out)["trust"], text.out};
}

bool warns(const Inspected& inspected, const std::string& words) {
  for (const Json& warning : inspected.trust["warnings"]) {
    if (warning.get<std::string>().find(words) != std::string::npos) {
      return inspected.text.find(words) != std::string::npos;
    }
  }
  return false;
}

}  // namespace

TEST_CASE("a good profile is called good, with its figures", "[cli]") {
  const Inspected good = inspect(made_up({}));
  const Json& trust = good.trust;
  CHECK(trust["num_probes"] == 60);
  CHECK(trust["num_distinct_trials"] == 60);
  CHECK(trust["num_controls"] == 60);
  CHECK(trust["warnings"].empty());
  CHECK(trust["families"].size() == 2);
  CHECK(trust["mix"] == "equal");
  CHECK(trust["stability"]["srh"]["split_half_top_jaccard"] == 1.0);
  CHECK(trust["stability"]["srh"]["num_needles"] == 60);
  CHECK(trust["stability"]["srh"]["by_num_probes"].size() == 5);  // 8, 16, 24, 48, 60
  CHECK(trust["stability"]["sink"]["split_half_spearman"].get<double>() < 0.5);  // noise
  CHECK(trust["score_agreement"]["scores"] == Json({"sink", "srh"}));

  const Json& head = trust["intervals"]["srh"]["heads"][0];
  CHECK(head[3].get<double>() < head[2].get<double>());
  CHECK(head[2].get<double>() < head[4].get<double>());
  CHECK(trust["intervals"]["srh"]["heads"].size() == 6);  // the top tenth
  CHECK(trust["intervals"]["srh"]["num_needles"] == 60);

  const Json& selected = trust["selected_heads"];
  CHECK(selected["score"] == "srh");
  CHECK(selected["heads"].size() == 4 * kLayers + 1);  // layer 4 has five of the top tenth
  CHECK(selected["heads"][0]["retrieves"] == true);
  CHECK(selected["heads"][0]["sink"].get<double>() < 0.06);
  CHECK(selected["heads"][0]["recency"].is_null());  // not measured

  CHECK(trust["kv_heads"]["srh"]["reduction"] == "max");
  CHECK(trust["kv_heads"]["srh"]["heads"].size() == kLayers * 5);
  CHECK(trust["kv_heads"]["srh"]["heads"][0][2].get<double>() ==
        Approx(selected["heads"][0]["score"].get<double>()));

  const Json& verdict = trust["verdict"];
  CHECK(verdict["model_retrieves"] == true);
  CHECK(verdict["has_controls"] == true);
  CHECK(verdict["heads_per_layer"] == Json({0, 1, 0, 0, 5, 0}));
  CHECK(verdict["selector_fallback"] == Json({0, 2, 3, 5}));
  CHECK(good.text.find("the model has retrieval heads: 6 heads") != std::string::npos);
  CHECK(good.text.find("a selector falls back to all heads in layers 0, 2, 3, 5") !=
        std::string::npos);
  INFO(good.text);
  CHECK(good.text.find("warning") == std::string::npos);
}

TEST_CASE("families that mean other heads are shown, with what a selection by one loses", "[cli]") {
  MadeUp options;
  options.families_agree = false;
  const Inspected inspected = inspect(made_up(options));
  const Json& families = inspected.trust["family_agreement"]["srh"];
  CHECK(families["families"] == Json({"number", "word"}));
  CHECK(families["top_jaccard"][0][1] == 0.0);
  CHECK(families["missed_heads"][0][1] == 1.0);
  CHECK(families["missed_mass"][1][0].get<double>() > 0.9);
  CHECK(families["missed_mass"][1][1] == 0.0);
  CHECK(warns(inspected, "two families share only 0.00"));
  CHECK(inspected.text.find("misses of another's top 10 %") != std::string::npos);
}

TEST_CASE("trials that repeat another are counted once and named", "[cli]") {
  MadeUp options;
  options.copies = 9;
  const Inspected inspected = inspect(made_up(options));
  CHECK(inspected.trust["num_distinct_trials"] == 51);
  CHECK(warns(inspected, "9 trials repeat"));
}

TEST_CASE("layers without a score are named", "[cli]") {
  MadeUp options;
  options.windowed_layer = true;
  const Inspected inspected = inspect(made_up(options));
  CHECK(inspected.trust["unscored_layers"] == Json({0}));
  CHECK(inspected.text.find("not scored   layers 0") != std::string::npos);
  CHECK(warns(inspected, "1 layers have no score"));
  for (const Json& head : inspected.trust["selected_heads"]["heads"]) CHECK(head["layer"] != 0);
}

TEST_CASE("few probes are said to be few", "[cli]") {
  MadeUp options;
  options.per_family = 5;
  const Inspected inspected = inspect(made_up(options));
  CHECK(warns(inspected, "only 10 probes count"));
  HeadProfile failed = made_up(options);
  for (size_t i = 0; i < failed.probes.size(); ++i) failed.probes[i].success = i < 4;
  CHECK(warns(inspect(failed), "only 4 of 10 probes were answered"));
}

TEST_CASE("profiles of the first format are still inspected", "[cli]") {
  const std::filesystem::path tests =
      std::filesystem::path(HEADSCOPE_GOLDEN_FOLDER).parent_path().parent_path();
  const std::string path = (tests / "outputs" / "golden" / "profile_1_0.h5").string();
  const ProgramResult result = run_headscope({"inspect", path, "--json"});
  REQUIRE(result.exit_code == 0);
  const Json json = Json::parse(result.out);
  CHECK(json["format_version"] == "1.0");
  CHECK(json["scores"] == Json({"srh"}));
  CHECK(json["trust"]["verdict"]["judged"] == false);
  CHECK(json["trust"]["intervals"]["srh"]["heads"][0][3].is_null());  // of one needle
}
