#include "profiler/cli/plan_options.h"

#include <charconv>

#include "outputs/input_error.h"
#include "outputs/plan_json.h"
#include "runtime/eviction_policy.h"

namespace headscope::cli {
namespace {

void add_budget_options(CLI::App& app, PlanCommand& command) {
  profiler::MethodOptions& options = command.options;
  app.add_option("--budget", command.budget,
                 "Mean tokens per KV head, observation window included");
  app.add_option("--bytes", command.bytes, "Bytes of keys and values in all");
  app.add_option("--retention", command.retention,
                 "Kept share of the prompt, 0..1 (with --context-length)");
  app.add_option("--context-length", command.context_lengths,
                 "Tokens of the prompts the plan is for: no budget exceeds it, and the surplus "
                 "goes to other heads. Further lengths, comma-separated, are linted")
      ->delimiter(',')
      ->check(CLI::PositiveNumber);
  app.add_option("--min-tokens", options.min_tokens, "Least tokens per KV head (compresskv: 32)");
  app.add_option("--max-tokens", options.max_tokens,
                 "Most tokens per KV head (compresskv: 3 x budget)");
  app.add_option("--page-size", options.page_tokens, "Budgets are whole pages of this many tokens")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--tp-ranks", options.num_ranks,
                 "Tensor-parallel ranks that hold equal shares of the KV heads and of the tokens")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
}

void add_selection_options(CLI::App& app, PlanCommand& command) {
  profiler::MethodOptions& options = command.options;
  app.add_option("--eviction", options.eviction,
                 "The run-time method that applies the plan: " + runtime::policy_names() +
                     " (default: the one that --method belongs to, else compresskv)");
  app.add_option("--score", options.score, "Which score picks the selector heads")
      ->capture_default_str();
  app.add_option("--selector-heads", command.selector_heads,
                 "Selector heads per layer, or auto: those whose score is surely above "
                 "--selector-threshold")
      ->capture_default_str();
  app.add_option("--selector-threshold", command.selector_threshold,
                 "With auto: what the score's lower confidence bound must exceed")
      ->capture_default_str();
  app.add_flag("!--no-fallback", options.fallback, kNoFallbackHelp);
  app.add_option("--observation-window", options.selection.observation_window,
                 "Last prompt queries that judge")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--pooling", command.pooling, "none, average or max")->capture_default_str();
  app.add_option("--pooling-kernel", options.selection.pooling_kernel, "Tokens, odd")
      ->capture_default_str();
  app.add_option("--sink-tokens", options.sink_tokens,
                 "First tokens always kept (default: 0; razor: 4; gates: as the file says)")
      ->check(CLI::NonNegativeNumber);
}

void add_method_options(CLI::App& app, PlanCommand& command) {
  profiler::MethodOptions& options = command.options;
  app.add_option("--selector", options.curves,
                 "compresskv, curve: which error curves, where the profile holds several");
  app.add_option("--error-steps", command.error_steps,
                 "compresskv: error over answer steps, sum (as published) or mean")
      ->check(CLI::IsMember({"sum", "mean"}))
      ->capture_default_str();
  app.add_option("--error-budget", options.error_budget,
                 "compresskv: tokens at which the layers' errors are read")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--objective", command.objective,
                 "curve: what is minimised, the sum of squared or of plain errors")
      ->check(CLI::IsMember({"squared", "plain"}))
      ->capture_default_str();
  app.add_option("--head-score", options.head_score,
                 "headkv: which score shares the budget out (default: --score)");
  app.add_option("--beta", options.headkv.beta, "headkv: 1/beta of the budget goes by score")
      ->capture_default_str();
  app.add_option("--group-reduction", command.group_reduction,
                 "headkv: from query heads to their KV head")
      ->check(CLI::IsMember({"sum", "mean", "max"}))
      ->capture_default_str();
  app.add_flag("--as-published", options.headkv.as_published,
               "headkv: the program's rounding; nothing lost is redistributed");
  app.add_option("--induction-share", options.razor.induction_share,
                 "razor: share of the KV heads that keep everything by induction")
      ->capture_default_str();
  app.add_option("--echo-share", options.razor.echo_share, "razor: the same by echo")
      ->capture_default_str();
  app.add_option(
      "--gates", command.gates,
      "gates: a table of KV-head gates (layers x KV heads, tab-separated), or the folder "
      "that DuoAttention publishes it in");
  app.add_option("--gate-threshold", options.gates_options.threshold,
                 "gates: heads above it keep everything (default: as many as the budget pays for)");
  app.add_option("--recent-tokens", command.recent_tokens,
                 "gates: recent tokens of a streaming head (default: as the file says, else 256)")
      ->check(CLI::PositiveNumber);
}

int64_t number_of_selectors(const std::string& text) {
  int64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stop != end || number < 1) {
    throw InputError("--selector-heads", "a number of at least 1, or auto", "\"" + text + "\"");
  }
  return number;
}

}  // namespace

void add_plan_options(CLI::App& app, PlanCommand& command) {
  app.add_option("profile", command.profile,
                 "A profile (with error curves for compresskv and curve)")
      ->required();
  app.add_option("--method", command.method, "How budgets are shared out")
      ->required()
      ->check(CLI::IsMember(analysis::allocator_names()));
  add_budget_options(app, command);
  add_selection_options(app, command);
  add_method_options(app, command);
  add_method_settings(app, command.settings);
  app.add_option("--out", command.out, "JSON, or HDF5 by extension")->required();
}

profiler::MethodOptions settle_options(const PlanCommand& command) {
  profiler::MethodOptions options = command.options;
  options.selection.pooling = outputs::pooling_from_name(command.pooling, "--pooling");
  apply_method_settings(command.settings, options);
  if (command.error_steps == "mean") options.error_steps = analysis::ErrorSteps::kMean;
  if (command.objective == "plain") options.objective = analysis::CurveObjective::kPlain;
  if (command.group_reduction == "mean") {
    options.headkv.reduction = analysis::GroupReduction::kMean;
  } else if (command.group_reduction == "max") {
    options.headkv.reduction = analysis::GroupReduction::kMax;
  }
  if (command.selector_heads == "auto") {
    options.selector_threshold = command.selector_threshold;
  } else {
    options.selector_heads = number_of_selectors(command.selector_heads);
  }
  options.lint_contexts = command.context_lengths;
  if (!options.lint_contexts.empty()) {
    options.context_length = options.lint_contexts.front();
    options.lint_contexts.erase(options.lint_contexts.begin());
  }
  return options;
}

std::map<std::string, std::string> stored_options(const PlanCommand& command) {
  const profiler::MethodOptions& options = command.options;
  std::map<std::string, std::string> stored{{"method", command.method},
                                            {"score", options.score},
                                            {"selector_heads", command.selector_heads},
                                            {"fallback", options.fallback ? "true" : "false"},
                                            {"error_steps", command.error_steps},
                                            {"page_size", std::to_string(options.page_tokens)},
                                            {"tp_ranks", std::to_string(options.num_ranks)}};
  stored.merge(stored_settings(command.settings));
  if (command.method == "headkv") {
    stored["head_score"] = options.head_score.empty() ? options.score : options.head_score;
    stored["beta"] = std::to_string(options.headkv.beta);
    stored["group_reduction"] = command.group_reduction;
    stored["as_published"] = options.headkv.as_published ? "true" : "false";
  }
  if (command.method == "curve") stored["objective"] = command.objective;
  if (command.method == "gates") stored["gates"] = command.gates;
  return stored;
}

}  // namespace headscope::cli
