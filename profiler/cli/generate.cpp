#include "model/generate.h"

#include <sstream>

#include "outputs/atomic_file.h"
#include "outputs/input_error.h"
#include "outputs/model_match.h"
#include "outputs/plan_file.h"
#include "outputs/profile_file.h"
#include "outputs/retained_tokens.h"
#include "profiler/cli/commands.h"
#include "profiler/cli/estimate.h"
#include "profiler/cli/generate_options.h"
#include "profiler/cli/retained_report.h"
#include "profiler/conversation.h"
#include "profiler/method_plan.h"
#include "runtime/compressor.h"
#include "runtime/eviction_policy.h"
#include "runtime/memory_use.h"

namespace headscope::cli {
namespace {

struct Prompt {
  std::string text;  // as given; empty for --tokens
  std::vector<int64_t> ids;
  std::unique_ptr<model::Tokenizer> tokenizer;  // none for --tokens
};

Prompt read_prompt(const GenerateCommand& command, const model::ModelSource& source) {
  Prompt prompt;
  if (!command.tokens.empty()) {
    prompt.ids = read_token_ids(command.tokens, source.config().vocab_size);
    return prompt;
  }
  prompt.tokenizer = source.open_tokenizer();
  prompt.text = command.prompt ? *command.prompt : outputs::read_file(command.prompt_file);
  std::string text = prompt.text;
  model::EncodeOptions encode;
  if (command.chat) {
    text = render_chat(source.chat_template(), {{"user", text}});
    encode.add_special = false;
  }
  prompt.ids = prompt.tokenizer->encode(text, encode).ids;
  if (prompt.ids.empty()) throw InputError("the prompt", "at least one token", "none");
  return prompt;
}

std::optional<HeadProfile> read_given_profile(const Session& session,
                                              const GenerateCommand& command,
                                              const ModelIdentity& identity) {
  if (command.profile.empty()) return std::nullopt;
  HeadProfile profile = outputs::read_profile(command.profile);
  outputs::check_model_match("profile " + command.profile, profile.model, identity,
                             session.common.force);
  return profile;
}

// The plan to apply, or none for the full cache.
std::optional<BudgetPlan> make_plan(Session& session,
                                    const GenerateCommand& command,
                                    const ModelIdentity& identity,
                                    const std::optional<HeadProfile>& profile,
                                    int64_t prompt_tokens) {
  if (!command.plan.empty()) {
    BudgetPlan plan = outputs::read_plan(command.plan);
    outputs::check_model_match("plan " + command.plan, plan.model, identity, session.common.force);
    return plan;
  }
  if (command.method.empty() || !runtime::find_policy(command.method, "--method").evicts)
    return std::nullopt;
  const int64_t budget = command.budget
                             ? *command.budget
                             : runtime::budget_for_retention(*command.retention, prompt_tokens);
  profiler::MethodOptions options;
  options.context_length = prompt_tokens;
  apply_method_settings(command.settings, options);
  options.fallback = command.fallback;
  BudgetPlan plan = profiler::plan_for_method(command.method, budget, identity,
                                              profile ? &*profile : nullptr, options);
  for (const std::string& note : plan.lint.notes) session.console.message(note);
  return plan;
}

Json drift_json(const profiler::TurnResult& turn, double threshold) {
  const runtime::KeptMass& kept = *turn.kept;
  Json sentinels = Json::array();
  for (const HeadId& id : kept.sentinels) sentinels.push_back({id.layer, id.head});
  return Json{{"window", kept.window},
              {"window_by_layer", kept.window_by_layer},
              {"sentinels", sentinels},
              {"sentinel_window", kept.sentinel_window},
              {"sentinel_recent", kept.sentinel_recent},
              {"sentinel_lowest", kept.sentinel_lowest},
              {"threshold", threshold},
              {"drifted", turn.drifted},
              {"fell_back", turn.fell_back}};
}

std::string drift_text(const profiler::TurnResult& turn) {
  char text[200];
  std::snprintf(
      text, sizeof text,
      "kept mass: %.2f in the window (%zu sentinels %.2f), %.2f over the last tokens, %.2f "
      "at the lowest%s%s",
      turn.kept->window, turn.kept->sentinels.size(), turn.kept->sentinel_window,
      turn.kept->sentinel_recent, turn.kept->sentinel_lowest,
      turn.fell_back ? "; answered from the larger budget" : "",
      turn.drifted ? "; DRIFTED: what is asked for was evicted" : "");
  return text;
}

std::string text_of(const Prompt& prompt, const std::vector<int64_t>& ids) {
  if (prompt.tokenizer) return prompt.tokenizer->decode(ids, /*skip_special=*/true);
  std::ostringstream text;
  for (const int64_t id : ids) text << id << ' ';
  return text.str();
}

// The tokens of a further turn. In the chat format: what the template puts between the reply and
// the next one. `conversation` and `rendered` are those up to the reply, and are brought up to
// date.
std::vector<int64_t> turn_tokens(const model::ModelSource& source,
                                 const Prompt& prompt,
                                 const std::string& text,
                                 const std::string& reply,
                                 std::vector<model::ChatMessage>& conversation,
                                 std::string& rendered) {
  std::string added = text;
  if (!conversation.empty()) {
    conversation.push_back({"assistant", reply});
    conversation.push_back({"user", text});
    std::string whole = render_chat(source.chat_template(), conversation);
    const size_t first = std::min(reply.find_first_not_of(" \t\r\n"), reply.size());
    const std::string said = reply.substr(first, reply.find_last_not_of(" \t\r\n") + 1 - first);
    const size_t at = whole.compare(0, rendered.size(), rendered) == 0
                          ? whole.find(said, rendered.size())
                          : std::string::npos;
    if (at == std::string::npos) {
      throw InputError("--turn",
                       "a chat template under which a conversation continues its own text",
                       "one that writes earlier turns anew");
    }
    added = whole.substr(at + said.size());
    rendered = std::move(whole);
  }
  std::vector<int64_t> ids = prompt.tokenizer->encode(added, {.add_special = false}).ids;
  if (ids.empty()) throw InputError("--turn", "at least one token", "none");
  return ids;
}

struct Answered {
  std::vector<profiler::TurnResult> turns;
  std::vector<std::string> texts;
};

// The prompt, then every further turn on the same cache.
Answered converse(const model::ModelSource& source,
                  const GenerateCommand& command,
                  const Prompt& prompt,
                  profiler::Conversation& conversation) {
  Answered answered;
  std::vector<model::ChatMessage> messages;
  std::string rendered;
  if (command.chat && !command.turns.empty()) {
    messages = {{"user", prompt.text}};
    rendered = render_chat(source.chat_template(), messages);
  }
  std::vector<int64_t> tokens = prompt.ids;
  for (size_t turn = 0;; ++turn) {
    answered.turns.push_back(conversation.say(tokens, command.run));
    const model::GenerateResult& generated = answered.turns.back().generated;
    answered.texts.push_back(text_of(prompt, generated.generated_ids));
    if (generated.stop_reason == model::StopReason::kCancelled) {
      throw Interrupted("interrupted: nothing was saved");
    }
    if (turn == command.turns.size()) return answered;
    tokens =
        turn_tokens(source, prompt, command.turns[turn], answered.texts.back(), messages, rendered);
  }
}

void emit_result(const Session& session,
                 const GenerateCommand& command,
                 const Prompt& prompt,
                 const Answered& answered,
                 const runtime::KvCache& cache,
                 const ModelShape& shape,
                 const model::Decoder& decoder,
                 const outputs::RetainedTokens* retained) {
  const auto element = static_cast<int64_t>(c10::elementSize(decoder.dtype()));
  const model::GenerateResult& first = answered.turns.front().generated;
  Json json{{"prompt_tokens", prompt.ids.size()},
            {"generated_ids", first.generated_ids},
            {"kv_bytes_full", runtime::full_kv_bytes(shape, cache.next_position(), element)},
            {"kv_bytes_held", cache.bytes_held()},
            {"prefill_seconds", first.prefill_seconds},
            {"decode_tokens_per_second", first.decode_tokens_per_second}};
  if (prompt.tokenizer) json["text"] = answered.texts.front();
  std::string text = answered.texts.front();
  if (command.drift_check) {
    json["drift"] = drift_json(answered.turns.front(), command.drift.threshold);
  }
  for (size_t turn = 1; turn < answered.turns.size(); ++turn) {
    const profiler::TurnResult& result = answered.turns[turn];
    Json entry{{"prompt_tokens", result.prompt_tokens},
               {"generated_ids", result.generated.generated_ids},
               {"text", answered.texts[turn]},
               {"prefill_seconds", result.generated.prefill_seconds}};
    if (command.drift_check) entry["drift"] = drift_json(result, command.drift.threshold);
    json["turns"].push_back(entry);
    text += "\n---\n" + answered.texts[turn];
  }
  if (retained != nullptr && !retained->answer_positions.empty()) {
    json["answer_recall"] = outputs::answer_recall(*retained);
  }
  session.emit(json, text);
}

void print_summary(Session& session,
                   const Answered& answered,
                   int64_t prompt_tokens,
                   const runtime::KvCache& cache,
                   const model::Decoder& decoder) {
  for (const profiler::TurnResult& turn : answered.turns) {
    if (turn.kept) session.console.message(drift_text(turn));
  }
  char summary[160];
  const auto element = static_cast<int64_t>(c10::elementSize(decoder.dtype()));
  const model::GenerateResult& first = answered.turns.front().generated;
  const int64_t full =
      runtime::full_kv_bytes(decoder.config().shape(), cache.next_position(), element);
  std::snprintf(
      summary, sizeof summary, "%lld prompt tokens in %.2f s, %.1f tokens/s, KV cache %s of %s",
      static_cast<long long>(prompt_tokens), first.prefill_seconds, first.decode_tokens_per_second,
      human_bytes(cache.bytes_held()).c_str(), human_bytes(full).c_str());
  session.console.message(summary);
}

void run_generate(Session& session, GenerateCommand& command) {
  session.apply_common();
  command.check();
  auto source = model::open_model_source(command.model);
  const Prompt prompt = read_prompt(command, *source);
  const auto prompt_tokens = static_cast<int64_t>(prompt.ids.size());
  if (session.common.dry_run) {
    profiler::RunSize size;
    size.longest_context = prompt_tokens + command.run.max_new_tokens;
    size.prompt_tokens = prompt_tokens;
    size.decode_tokens = command.run.max_new_tokens;
    size.chunk_tokens = command.run.chunk_tokens;
    return emit_estimate(session, command.model, size);
  }
  if (!command.save_retained.empty())
    outputs::check_output_path(command.save_retained, session.common.force);
  const ModelIdentity identity = model::identity_of(*source);
  const std::optional<HeadProfile> profile = read_given_profile(session, command, identity);
  const std::optional<BudgetPlan> plan =
      make_plan(session, command, identity, profile, prompt_tokens);
  const LoadedModel model = session.load(std::move(source), /*with_tokenizer=*/false);

  command.run.sampling.seed = session.common.seed;
  command.run.stop_ids = prompt.tokenizer
                             ? model::stop_ids(model.source->config(), *prompt.tokenizer)
                             : model.source->config().eos_token_ids;
  command.run.is_cancelled = [&session] { return session.console.interrupted(); };
  if (!command.drift_check) command.drift.sentinels = 0;
  if (profile) command.compressor.sentinel_heads = profiler::retrieval_heads(*profile);
  profiler::Conversation conversation(*model.decoder, plan, command.compressor, command.drift);
  const Answered answered = converse(*model.source, command, prompt, conversation);
  const runtime::KvCache& cache = conversation.cache();
  if (answered.turns.back().generated.stop_reason == model::StopReason::kPositionLimit) {
    session.console.message("stopped: the model has " +
                            std::to_string(model.shape().max_positions) + " positions");
  }
  std::optional<outputs::RetainedTokens> retained;
  if (!command.save_retained.empty()) {
    retained =
        collect_retained(*conversation.compressed(), conversation.prompt(), prompt.tokenizer.get(),
                         command.answer.empty() ? answered.texts.front() : command.answer);
    outputs::write_retained(*retained, command.save_retained, session.common.force);
    if (!retained->answer_positions.empty()) session.console.message(recall_text(*retained));
  }
  print_summary(session, answered, prompt_tokens, cache, *model.decoder);
  emit_result(session, command, prompt, answered, cache, model.shape(), *model.decoder,
              retained ? &*retained : nullptr);
}

}  // namespace

void setup_generate(CLI::App& app, Session& session) {
  auto command = std::make_shared<GenerateCommand>();
  CLI::App* sub =
      app.add_subcommand("generate", "Continues a prompt, with the full or a compressed KV cache");
  add_generate_options(*sub, *command);
  add_common_options(*sub, session, {Takes::kOutput, Takes::kModel, Takes::kDryRun});
  sub->callback([command, &session] { run_generate(session, *command); });
}

}  // namespace headscope::cli
