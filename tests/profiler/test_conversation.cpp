// Turns on a compressed cache, and the drift check, on a model whose retrieval head is known.
#include <ATen/ATen.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <limits>

#include "outputs/input_error.h"
#include "profiler/conversation.h"
#include "runtime/compressor.h"
#include "tests/profiler/planted_setup.h"

namespace headscope::testing {
namespace {

using profiler::Conversation;
using profiler::DriftOptions;
using profiler::TurnResult;

// Two statements far apart in prose; each question is the beginning of its statement.
struct TwoNeedles {
  PlantedSetup planted;
  std::vector<int64_t> context;
  std::vector<int64_t> first_question, second_question;
  std::vector<int64_t> first_answer, second_answer;

  TwoNeedles() {
    const auto ids = [&](const std::string& text) {
      return planted.tokenizer->encode(text, {}).ids;
    };
    profiler::Haystack haystack = profiler::Haystack::prose(3);
    haystack.grow(8000);
    const std::vector<int64_t> prose = ids(haystack.text());
    const std::vector<int64_t> a(prose.begin() + 100, prose.begin() + 112);
    const std::vector<int64_t> b(prose.begin() + 260, prose.begin() + 272);
    context.assign(prose.begin(), prose.begin() + 420);
    first_question.assign(a.begin(), a.begin() + 6);
    first_answer.assign(a.begin() + 6, a.begin() + 10);
    second_question.assign(b.begin(), b.begin() + 6);
    second_answer.assign(b.begin() + 6, b.begin() + 10);
  }
  [[nodiscard]] std::vector<int64_t> prompt() const {
    std::vector<int64_t> all = context;
    all.insert(all.end(), first_question.begin(), first_question.end());
    return all;
  }
  [[nodiscard]] BudgetPlan plan(int64_t budget, int64_t pooling_kernel = 5) const {
    BudgetPlan made = runtime::uniform_plan("snapkv", planted.identity.shape, budget);
    made.model = planted.identity;
    made.selection.pooling_kernel = pooling_kernel;
    return made;
  }
};

const model::GenerateOptions kFourTokens{.max_new_tokens = 4};

}  // namespace

TEST_CASE("without a plan a conversation is one long prompt, token for token", "[profiler]") {
  const TwoNeedles setup;
  Conversation conversation(*setup.planted.decoder, std::nullopt, {}, {});
  const TurnResult first = conversation.say(setup.prompt(), kFourTokens);
  const TurnResult second = conversation.say(setup.second_question, kFourTokens);
  CHECK(first.generated.generated_ids == setup.first_answer);
  CHECK(second.generated.generated_ids == setup.second_answer);
  CHECK_FALSE(second.kept.has_value());

  std::vector<int64_t> whole = setup.prompt();
  for (const auto* part : {&first.generated.generated_ids, &setup.second_question}) {
    whole.insert(whole.end(), part->begin(), part->end());
  }
  runtime::FullKvCache cache(setup.planted.identity.shape.num_layers);
  const auto straight = model::generate(*setup.planted.decoder, cache, whole, kFourTokens);
  CHECK(straight.generated_ids == second.generated.generated_ids);
  CHECK(conversation.cache().next_position() == cache.next_position());
}

TEST_CASE("a second question asks for what the first let go, and the sentinels see it",
          "[profiler]") {
  const TwoNeedles setup;
  Conversation conversation(*setup.planted.decoder, setup.plan(48, 9), {}, {.sentinels = 1});
  const TurnResult first = conversation.say(setup.prompt(), kFourTokens);
  CHECK(first.generated.generated_ids == setup.first_answer);
  REQUIRE(first.kept.has_value());
  // The head that fetches is the one that watches.
  REQUIRE(first.kept->sentinels.size() == 1);
  CHECK(first.kept->sentinels[0] == HeadId{2, 1});
  const double before = first.kept->sentinel_lowest;

  const TurnResult second = conversation.say(setup.second_question, kFourTokens);
  CHECK(second.generated.generated_ids != setup.second_answer);
  CHECK(second.kept->sentinel_lowest < before - 0.2);
  CHECK(second.kept->window == first.kept->window);

  // The same question once more does not drift.
  Conversation same(*setup.planted.decoder, setup.plan(48, 9), {}, {.sentinels = 1});
  static_cast<void>(same.say(setup.prompt(), kFourTokens));
  const TurnResult again = same.say(setup.first_question, kFourTokens);
  CHECK(again.kept->sentinel_lowest > second.kept->sentinel_lowest + 0.1);
  // Every turn is judged by itself: after the one that drifted too.
  const TurnResult back = conversation.say(setup.first_question, kFourTokens);
  CHECK(back.kept->sentinel_lowest > second.kept->sentinel_lowest + 0.1);
}

TEST_CASE("heads that are named watch, the best of them first", "[profiler]") {
  const TwoNeedles setup;
  const auto sentinels = [&](std::vector<HeadId> named) {
    Conversation conversation(*setup.planted.decoder, setup.plan(48),
                              {.sentinel_heads = std::move(named)}, {.sentinels = 2});
    return conversation.say(setup.prompt(), kFourTokens).kept->sentinels;
  };
  // Met layer by layer; neither is among the two that the prompt itself shows.
  using Heads = std::vector<HeadId>;
  CHECK((sentinels({{3, 1}, {0, 3}, {1, 0}}) == Heads{{0, 3}, {3, 1}}));
  CHECK((sentinels({{1, 0}}) == Heads{{1, 0}}));
  CHECK((sentinels({}) != Heads{{0, 3}, {3, 1}}));
}

TEST_CASE("heads that retrieve are a profile's, best first, without those that never did",
          "[profiler]") {
  HeadProfile profile;
  CHECK(profiler::retrieval_heads(profile).empty());
  HeadMatrix mean(2, 3);
  mean.at(0, 1) = 0.25F;
  mean.at(1, 0) = 0.5F;
  mean.at(1, 2) = std::numeric_limits<float>::quiet_NaN();
  profile.scores["retrieval"].mean = mean;
  CHECK((profiler::retrieval_heads(profile) == std::vector<HeadId>{{1, 0}, {0, 1}}));
}

TEST_CASE("a drifted turn is answered from the larger budget where that is asked for",
          "[profiler]") {
  const TwoNeedles setup;
  Conversation probe(*setup.planted.decoder, setup.plan(48), {}, {.sentinels = 1});
  const double before = probe.say(setup.prompt(), kFourTokens).kept->sentinel_lowest;
  const double after = probe.say(setup.second_question, kFourTokens).kept->sentinel_lowest;
  // Most heads of this model look everywhere, so that the window's mean is low in any case.
  const double window = probe.compressed()->drift().window;
  REQUIRE(after < std::min(before, window));
  const double between = (after + std::min(before, window)) / 2;

  const DriftOptions drift{.sentinels = 1, .threshold = between, .fallback = 12.0};
  Conversation conversation(*setup.planted.decoder, setup.plan(48), {}, drift);
  const TurnResult first = conversation.say(setup.prompt(), kFourTokens);
  CHECK_FALSE(first.drifted);
  CHECK_FALSE(first.fell_back);
  const int64_t bytes = conversation.cache().bytes_held();
  const TurnResult second = conversation.say(setup.second_question, kFourTokens);
  CHECK(second.fell_back);
  CHECK_FALSE(second.drifted);
  CHECK(second.generated.generated_ids == setup.second_answer);
  CHECK(conversation.cache().bytes_held() > bytes);
  // What the fall-back read is the whole conversation.
  CHECK(conversation.prompt().size() ==
        setup.prompt().size() + setup.first_answer.size() + setup.second_question.size());
}

TEST_CASE("a question that changes late is what the window judges by", "[profiler]") {
  const TwoNeedles setup;
  std::vector<int64_t> prompt = setup.prompt();  // asks for the first, then for the second
  prompt.insert(prompt.end(), setup.second_question.begin(), setup.second_question.end());
  Conversation late(*setup.planted.decoder, setup.plan(48, 9), {}, {.sentinels = 1});
  const TurnResult answered = late.say(prompt, kFourTokens);
  CHECK(answered.generated.generated_ids == setup.second_answer);
  const TurnResult back = late.say(setup.first_question, kFourTokens);
  CHECK(back.kept->sentinel_lowest < answered.kept->sentinel_lowest - 0.1);
}

TEST_CASE("prompts of different lengths decode side by side as each does alone", "[profiler]") {
  const TwoNeedles setup;
  const std::vector<int64_t> whole = setup.prompt();
  const std::vector<std::vector<int64_t>> prompts = {
      whole, {whole.end() - 330, whole.end()}, {whole.end() - 20, whole.end()}};
  const model::Decoder& decoder = *setup.planted.decoder;
  const auto together = runtime::make_cache(setup.plan(40));
  at::Tensor logits = decoder.prefill_batch(prompts, *together, {.chunk_tokens = 100});
  std::vector<std::unique_ptr<runtime::CompressingKvCache>> caches;
  std::vector<at::Tensor> alone;
  for (const auto& prompt : prompts) {
    caches.push_back(runtime::make_cache(setup.plan(40)));
    alone.push_back(decoder.prefill(prompt, *caches.back(), {.chunk_tokens = 100}));
  }
  for (int step = 0; step < 4; ++step) {
    at::Tensor next = logits.argmax(-1);  // [3, 1]
    for (int64_t b = 0; b < 3; ++b) {
      const at::Tensor& one = alone[static_cast<size_t>(b)];
      INFO("step " << step << ", sequence " << b);
      REQUIRE((logits[b] - one[0]).abs().max().item<double>() < 2e-3);
      REQUIRE(next[b].item<int64_t>() == one.argmax(-1).item<int64_t>());
    }
    logits = decoder.forward(next, *together);
    for (size_t b = 0; b < 3; ++b) {
      alone[b] = decoder.forward(next.narrow(0, static_cast<int64_t>(b), 1), *caches[b]);
    }
  }
  CHECK_THROWS_AS(decoder.forward(at::zeros({2, 1}, at::kLong), *together), std::invalid_argument);
}

TEST_CASE("drift options out of range are refused", "[profiler]") {
  CHECK_THROWS_AS((DriftOptions{.threshold = 1.5}.validate()), InputError);
  CHECK_THROWS_AS((DriftOptions{.sentinels = -1}.validate()), InputError);
  CHECK_THROWS_AS((DriftOptions{.fallback = 0.5}.validate()), InputError);
}

}  // namespace headscope::testing
