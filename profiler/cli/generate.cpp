#include "model/generate.h"

#include <sstream>

#include "outputs/atomic_file.h"
#include "outputs/hdf5_file.h"
#include "outputs/input_error.h"
#include "outputs/model_match.h"
#include "outputs/plan_file.h"
#include "outputs/profile_file.h"
#include "profiler/cli/commands.h"
#include "profiler/cli/estimate.h"
#include "profiler/cli/plan_options.h"
#include "profiler/method_plan.h"
#include "runtime/compressor.h"
#include "runtime/eviction_policy.h"
#include "runtime/full_kv_cache.h"
#include "runtime/memory_use.h"

namespace headscope::cli {
namespace {

struct GenerateCommand {
  std::string model;
  std::optional<std::string> prompt;
  std::string prompt_file;
  std::string tokens;
  std::string plan;
  std::string method;
  std::string profile;
  std::optional<int64_t> budget;
  std::optional<double> retention;
  std::string save_retained;
  bool chat = false;
  bool fallback = true;
  model::GenerateOptions run;
};

void check_options(const GenerateCommand& command) {
  const int prompts = int{command.prompt.has_value()} + int{!command.prompt_file.empty()} +
                      int{!command.tokens.empty()};
  if (prompts != 1) {
    throw InputError("generate", "exactly one of --prompt, --prompt-file and --tokens",
                     std::to_string(prompts) + " of them");
  }
  if (!command.plan.empty() && !command.method.empty()) {
    throw InputError("generate", "--plan or --method", "both");
  }
  const int sizes = int{command.budget.has_value()} + int{command.retention.has_value()};
  if (command.method.empty() && sizes > 0) {
    throw InputError("generate", "--method with --budget or --retention", "no --method");
  }
  if (!command.method.empty()) {
    const bool evicts = runtime::find_policy(command.method, "--method").evicts;
    if (evicts && sizes != 1) {
      throw InputError("--method " + command.method, "exactly one of --budget and --retention",
                       std::to_string(sizes) + " of them");
    }
  }
  if (!command.save_retained.empty() && command.plan.empty() && command.method.empty()) {
    throw InputError("--save-retained", "--plan or --method", "neither: everything is kept");
  }
  if (command.chat && !command.tokens.empty()) {
    throw InputError("--chat", "a prompt as text", "--tokens");
  }
}

struct Prompt {
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
  std::string text = command.prompt ? *command.prompt : outputs::read_file(command.prompt_file);
  model::EncodeOptions encode;
  if (command.chat) {
    text = render_chat(source.chat_template(), {{"user", text}});
    encode.add_special = false;
  }
  prompt.ids = prompt.tokenizer->encode(text, encode).ids;
  if (prompt.ids.empty()) throw InputError("the prompt", "at least one token", "none");
  return prompt;
}

// The plan to apply, or none for the full cache.
std::optional<BudgetPlan> make_plan(Session& session,
                                    const GenerateCommand& command,
                                    const ModelIdentity& identity,
                                    int64_t prompt_tokens) {
  if (!command.plan.empty()) {
    BudgetPlan plan = outputs::read_plan(command.plan);
    outputs::check_model_match("plan " + command.plan, plan.model, identity, session.common.force);
    return plan;
  }
  if (command.method.empty() || !runtime::find_policy(command.method, "--method").evicts)
    return std::nullopt;
  std::optional<HeadProfile> profile;
  if (!command.profile.empty()) {
    profile = outputs::read_profile(command.profile);
    outputs::check_model_match("profile " + command.profile, profile->model, identity,
                               session.common.force);
  }
  const int64_t budget = command.budget
                             ? *command.budget
                             : runtime::budget_for_retention(*command.retention, prompt_tokens);
  profiler::MethodOptions options;
  options.context_length = prompt_tokens;
  options.fallback = command.fallback;
  BudgetPlan plan = profiler::plan_for_method(command.method, budget, identity,
                                              profile ? &*profile : nullptr, options);
  for (const std::string& note : plan.lint.notes) session.console.message(note);
  return plan;
}

std::string numbered(const char* word, int64_t number) {
  char text[32];
  std::snprintf(text, sizeof text, "%s_%02lld", word, static_cast<long long>(number));
  return text;
}

void save_retained(const Session& session,
                   const std::string& path,
                   const runtime::CompressingKvCache& cache,
                   const ModelShape& shape,
                   const std::vector<int64_t>& prompt) {
  outputs::Hdf5Writer file(path, session.common.force);
  file.attribute("", "format", "headscope.retained");
  file.attribute("", "format_version", "1.0");
  file.dataset("prompt_ids", std::span<const int64_t>(prompt),
               {static_cast<int64_t>(prompt.size())});
  for (int64_t layer = 0; layer < shape.num_layers; ++layer) {
    for (int64_t head = 0; head < shape.num_kv_heads; ++head) {
      std::vector<int64_t> kept = cache.retained().retained_positions(layer, head);
      std::erase_if(
          kept, [&](int64_t position) { return position >= static_cast<int64_t>(prompt.size()); });
      file.dataset(numbered("layer", layer) + "/" + numbered("kv_head", head),
                   std::span<const int64_t>(kept), {static_cast<int64_t>(kept.size())});
    }
  }
  file.commit();
}

void emit_result(const Session& session,
                 const Prompt& prompt,
                 const model::GenerateResult& result,
                 const runtime::KvCache& cache,
                 const ModelShape& shape,
                 const model::Decoder& decoder) {
  const auto element = static_cast<int64_t>(c10::elementSize(decoder.dtype()));
  const int64_t full = runtime::full_kv_bytes(shape, cache.next_position(), element);
  Json json{{"prompt_tokens", prompt.ids.size()},
            {"generated_ids", result.generated_ids},
            {"kv_bytes_full", full},
            {"kv_bytes_held", cache.bytes_held()},
            {"prefill_seconds", result.prefill_seconds},
            {"decode_tokens_per_second", result.decode_tokens_per_second}};
  std::string text;
  if (prompt.tokenizer) {
    text = prompt.tokenizer->decode(result.generated_ids, /*skip_special=*/true);
    json["text"] = text;
  } else {
    std::ostringstream ids;
    for (const int64_t id : result.generated_ids) ids << id << ' ';
    text = ids.str();
  }
  session.emit(json, text);
}

void run_generate(Session& session, GenerateCommand& command) {
  session.apply_common();
  check_options(command);
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
  const std::optional<BudgetPlan> plan =
      make_plan(session, command, model::identity_of(*source), prompt_tokens);
  const LoadedModel model = session.load(std::move(source), /*with_tokenizer=*/false);

  std::unique_ptr<runtime::CompressingKvCache> compressing;
  if (plan) compressing = runtime::make_cache(*plan);
  runtime::FullKvCache full(model.shape().num_layers);
  runtime::KvCache& cache = compressing ? static_cast<runtime::KvCache&>(*compressing) : full;

  command.run.sampling.seed = session.common.seed;
  command.run.stop_ids = prompt.tokenizer
                             ? model::stop_ids(model.source->config(), *prompt.tokenizer)
                             : model.source->config().eos_token_ids;
  command.run.is_cancelled = [&session] { return session.console.interrupted(); };
  const model::GenerateResult result =
      model::generate(*model.decoder, cache, prompt.ids, command.run);
  if (result.stop_reason == model::StopReason::kCancelled)
    throw Interrupted("interrupted: nothing was saved");
  if (result.stop_reason == model::StopReason::kPositionLimit) {
    session.console.message("stopped: the model has " +
                            std::to_string(model.shape().max_positions) + " positions");
  }
  if (!command.save_retained.empty()) {
    save_retained(session, command.save_retained, *compressing, model.shape(), prompt.ids);
  }
  char summary[160];
  const auto element = static_cast<int64_t>(c10::elementSize(model.decoder->dtype()));
  std::snprintf(
      summary, sizeof summary, "%lld prompt tokens in %.2f s, %.1f tokens/s, KV cache %s of %s",
      static_cast<long long>(prompt_tokens), result.prefill_seconds,
      result.decode_tokens_per_second, human_bytes(cache.bytes_held()).c_str(),
      human_bytes(runtime::full_kv_bytes(model.shape(), cache.next_position(), element)).c_str());
  session.console.message(summary);
  emit_result(session, prompt, result, cache, model.shape(), *model.decoder);
}

}  // namespace

void setup_generate(CLI::App& app, Session& session) {
  auto command = std::make_shared<GenerateCommand>();
  CLI::App* sub =
      app.add_subcommand("generate", "Continues a prompt, with the full or a compressed KV cache");
  sub->add_option("model", command->model, "Model directory, GGUF file or cached hub id")
      ->required();
  sub->add_option("--prompt", command->prompt, "The prompt");
  sub->add_option("--prompt-file", command->prompt_file, "A file with the prompt");
  sub->add_option("--tokens", command->tokens,
                  "A JSON array of token ids (no tokenizer is opened)");
  sub->add_flag("--chat", command->chat,
                "Wrap the prompt as a user's message in the model's chat format");
  sub->add_option("--max-new-tokens", command->run.max_new_tokens, "Tokens to generate at most")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  sub->add_option("--temperature", command->run.sampling.temperature, "0 is greedy")
      ->capture_default_str();
  sub->add_option("--top-p", command->run.sampling.top_p,
                  "Sample among the likeliest tokens of this mass")
      ->capture_default_str();
  sub->add_option("--top-k", command->run.sampling.top_k,
                  "Sample among the k likeliest tokens; 0 is all")
      ->capture_default_str();
  sub->add_option("--plan", command->plan, "A budget plan");
  sub->add_option("--method", command->method, "Or an eviction method: " + runtime::policy_names());
  sub->add_option("--budget", command->budget, "With --method: mean tokens per KV head");
  sub->add_option("--retention", command->retention,
                  "With --method: kept share of the prompt, 0..1");
  sub->add_option("--profile", command->profile, "With --method: the profile that it needs");
  sub->add_flag("!--no-fallback", command->fallback, kNoFallbackHelp);
  sub->add_option("--save-retained", command->save_retained, "Write the kept positions (HDF5)");
  add_common_options(*sub, session, {Takes::kOutput, Takes::kModel, Takes::kDryRun});
  sub->callback([command, &session] { run_generate(session, *command); });
}

}  // namespace headscope::cli
