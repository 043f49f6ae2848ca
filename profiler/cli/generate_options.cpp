#include "profiler/cli/generate_options.h"

#include "outputs/input_error.h"
#include "profiler/cli/plan_options.h"
#include "runtime/eviction_policy.h"

namespace headscope::cli {
namespace {

void add_cache_options(CLI::App& app, GenerateCommand& command) {
  app.add_option("--turn", command.turns,
                 "A further turn on the same cache; may be repeated. With --chat a user's message");
  app.add_option("--prefill-tokens", command.compressor.prefill_tokens,
                 "Evict while the prompt is read: tokens per KV head held then; 0 is all")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--decode-budget", command.compressor.decode_tokens,
                 "Evict again after this many tokens beyond the budget; 0 is never")
      ->check(CLI::NonNegativeNumber);
  app.add_flag("--compress-turns", command.compressor.compress_turns,
               "Evict down to the budgets at the end of every further turn too");
  app.add_flag("--drift-check", command.drift_check,
               "Measure how much of the attention falls on what was kept");
  app.add_option("--drift-sentinels", command.drift.sentinels,
                 "Query heads that measure it while tokens are generated")
      ->capture_default_str();
  app.add_option("--drift-threshold", command.drift.threshold,
                 "Kept mass below which a request has drifted, 0..1")
      ->capture_default_str();
  app.add_option("--drift-fallback", command.drift.fallback,
                 "Then read all of it anew with budgets this many times as large");
}

}  // namespace

void GenerateCommand::check() const {
  const int prompts = int{prompt.has_value()} + int{!prompt_file.empty()} + int{!tokens.empty()};
  if (prompts != 1) {
    throw InputError("generate", "exactly one of --prompt, --prompt-file and --tokens",
                     std::to_string(prompts) + " of them");
  }
  if (!plan.empty() && !method.empty()) {
    throw InputError("generate", "--plan or --method", "both");
  }
  const int sizes = int{budget.has_value()} + int{retention.has_value()};
  if (method.empty() && sizes > 0) {
    throw InputError("generate", "--method with --budget or --retention", "no --method");
  }
  if (!method.empty()) {
    const bool evicts = runtime::find_policy(method, "--method").evicts;
    if (evicts && sizes != 1) {
      throw InputError("--method " + method, "exactly one of --budget and --retention",
                       std::to_string(sizes) + " of them");
    }
  }
  const bool keeps_all = plan.empty() && method.empty();
  const auto needs_method = [&](const char* option, bool given) {
    if (given && keeps_all) {
      throw InputError(option, "--plan or --method", "neither: everything is kept");
    }
  };
  needs_method("--save-retained", !save_retained.empty());
  needs_method("--prefill-tokens", compressor.prefill_tokens > 0);
  needs_method("--decode-budget", compressor.decode_tokens > 0);
  needs_method("--compress-turns", compressor.compress_turns);
  needs_method("--drift-check", drift_check);
  if (drift.fallback != 0.0 && !drift_check) {
    throw InputError("--drift-fallback", "--drift-check, which says when", "none");
  }
  if (!turns.empty() && !tokens.empty()) {
    throw InputError("--turn", "a prompt as text", "--tokens");
  }
  drift.validate();
  if (chat && !tokens.empty()) {
    throw InputError("--chat", "a prompt as text", "--tokens");
  }
}

void add_generate_options(CLI::App& app, GenerateCommand& command) {
  app.add_option("model", command.model, "Model directory, GGUF file or cached hub id")->required();
  app.add_option("--prompt", command.prompt, "The prompt");
  app.add_option("--prompt-file", command.prompt_file, "A file with the prompt");
  app.add_option("--tokens", command.tokens, "A JSON array of token ids (no tokenizer is opened)");
  app.add_flag("--chat", command.chat,
               "Wrap the prompt as a user's message in the model's chat format");
  app.add_option("--max-new-tokens", command.run.max_new_tokens, "Tokens to generate at most")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--temperature", command.run.sampling.temperature, "0 is greedy")
      ->capture_default_str();
  app.add_option("--top-p", command.run.sampling.top_p,
                 "Sample among the likeliest tokens of this mass")
      ->capture_default_str();
  app.add_option("--top-k", command.run.sampling.top_k,
                 "Sample among the k likeliest tokens; 0 is all")
      ->capture_default_str();
  app.add_option("--plan", command.plan, "A budget plan");
  app.add_option("--method", command.method, "Or an eviction method: " + runtime::policy_names());
  app.add_option("--budget", command.budget, "With --method: mean tokens per KV head");
  app.add_option("--retention", command.retention, "With --method: kept share of the prompt, 0..1");
  app.add_option("--profile", command.profile,
                 "The profile that --method needs; with --drift-check its retrieval heads watch");
  add_method_settings(app, command.settings);
  app.add_flag("!--no-fallback", command.fallback, kNoFallbackHelp);
  app.add_option("--save-retained", command.save_retained,
                 "Write the kept positions (HDF5); heatmap draws them");
  app.add_option("--answer", command.answer,
                 "With --save-retained: the text whose survival is measured, as it stands in the "
                 "prompt (default: what the model answers)");
  add_cache_options(app, command);
}

}  // namespace headscope::cli
