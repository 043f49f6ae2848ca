#include "profiler/ablate_run.h"

#include <map>
#include <memory>
#include <set>
#include <utility>

#include "analysis/bootstrap.h"
#include "model/head_mask.h"
#include "outputs/input_error.h"
#include "profiler/answer_metrics.h"
#include "profiler/greedy_answer.h"
#include "profiler/head_means.h"
#include "profiler/option_check.h"
#include "profiler/probe_reader.h"
#include "runtime/full_kv_cache.h"

namespace headscope::profiler {
namespace {

// Right (1) or wrong (0), per arm and probe.
using Successes = std::vector<std::vector<double>>;

// Answers probes under one mask after the other, on one cache.
class MaskedAnswers {
 public:
  MaskedAnswers(const MeasuredModel& model, const AblateOptions& options, int64_t longest)
      : model_(model),
        options_(options),
        cache_(model.identity.shape.num_layers, {.reserve_tokens = longest}) {}

  // Reads prompts without a mask. False when the user asked to stop.
  bool measure_means(const std::vector<Probe>& prompts, ProgressSink& progress) {
    means_ = std::make_unique<HeadMeans>(model_.identity.shape);
    progress.begin("mean prompts", static_cast<int64_t>(prompts.size()));
    for (size_t i = 0; i < prompts.size(); ++i) {
      if (progress.interrupted()) return false;
      cache_.truncate(0);
      model_.decoder.prefill(prompts[i].prompt, cache_,
                             {.chunk_tokens = options_.answers.chunk_tokens,
                              .logits = model::LogitRows::kNone,
                              .observer = means_.get()});
      progress.advance(static_cast<int64_t>(i) + 1);
    }
    return true;
  }

  [[nodiscard]] model::HeadMask mask_of(const AblationArm& arm) const {
    std::vector<model::MaskedHead> heads;
    for (const HeadId& head : arm.heads) {
      heads.push_back({head, means_ == nullptr ? at::Tensor() : means_->mean(head)});
    }
    return {model_.identity.shape, model_.decoder.dtype(), model_.decoder.device(), heads};
  }

  [[nodiscard]] bool is_right(const Probe& probe, const model::HeadMask* mask) {
    cache_.truncate(0);
    const int64_t first = greedy_choice(model_.decoder.prefill(
        probe.prompt, cache_, {.chunk_tokens = options_.answers.chunk_tokens, .head_mask = mask}));
    const AnswerLimits limits{
        .max_tokens = answer_limit(probe, options_.answers, model_.decoder.config()),
        .stop_at_newline = true};
    const AnswerEnd answer =
        decode_greedily(model_, cache_, first, limits, /*observer=*/nullptr, mask);
    return rouge1_recall(probe.answer, answer.text()) > options_.answers.success_threshold;
  }

 private:
  const MeasuredModel& model_;
  const AblateOptions& options_;
  runtime::FullKvCache cache_;
  std::unique_ptr<HeadMeans> means_;
};

// Probe by probe, so that a stopped run has whole comparisons. Arm 0 is "none".
Successes ask_all(MaskedAnswers& answers,
                  const std::vector<AblationArm>& arms,
                  const std::vector<Probe>& probes,
                  ProgressSink& progress) {
  std::vector<model::HeadMask> masks;
  for (const AblationArm& arm : arms) masks.push_back(answers.mask_of(arm));
  Successes successes(arms.size());
  progress.begin("masked answers", static_cast<int64_t>(probes.size() * arms.size()));
  int64_t asked = 0;
  for (const Probe& probe : probes) {
    std::vector<double> of_probe;
    for (size_t arm = 0; arm < arms.size(); ++arm) {
      if (progress.interrupted()) return successes;
      const bool right = answers.is_right(probe, arms[arm].heads.empty() ? nullptr : &masks[arm]);
      of_probe.push_back(right ? 1.0 : 0.0);
      progress.advance(++asked);
    }
    for (size_t arm = 0; arm < arms.size(); ++arm) successes[arm].push_back(of_probe[arm]);
  }
  return successes;
}

// Rows from successes; all of them are of the same probes.
class Summary {
 public:
  Summary(const Successes& successes,
          const std::vector<Probe>& probes,
          const AblateOptions& options)
      : successes_(successes),
        bootstrap_{.num_resamples = options.bootstrap_draws, .seed = options.seed} {
    for (size_t i = 0; i < successes.front().size(); ++i) needles_.push_back(probes[i].needle_id);
  }

  // Of one arm, or of several draws together.
  [[nodiscard]] AblationRow row(const std::vector<size_t>& arms) const {
    std::vector<double> right, lost;
    std::vector<std::string> needles;
    for (const size_t arm : arms) {
      for (size_t i = 0; i < needles_.size(); ++i) {
        right.push_back(successes_[arm][i]);
        lost.push_back(successes_.front()[i] - successes_[arm][i]);
        needles.push_back(needles_[i]);
      }
    }
    const analysis::MeanInterval accuracy = analysis::bootstrap_mean(right, bootstrap_, needles);
    const analysis::MeanInterval cost = analysis::bootstrap_mean(lost, bootstrap_, needles);
    AblationRow row;
    row.num_probes = static_cast<int64_t>(needles_.size());
    row.num_needles = accuracy.num_clusters;
    row.accuracy = accuracy.mean;
    row.ci_low = accuracy.low;
    row.ci_high = accuracy.high;
    row.cost = cost.mean;
    row.cost_low = cost.low;
    row.cost_high = cost.high;
    return row;
  }

 private:
  const Successes& successes_;
  analysis::BootstrapOptions bootstrap_;
  std::vector<std::string> needles_;
};

bool is_draw(const AblationArm& arm) {
  return arm.which.rfind("random", 0) == 0;
}

std::vector<AblationRow> summarise(const std::vector<AblationArm>& arms, const Summary& summary) {
  std::map<std::string, std::vector<size_t>> draws;  // by score
  std::map<std::string, size_t> tops;
  for (size_t i = 0; i < arms.size(); ++i) {
    if (is_draw(arms[i])) draws[arms[i].score].push_back(i);
    if (arms[i].which == "top") tops.emplace(arms[i].score, i);
  }
  std::vector<AblationRow> rows;
  std::set<std::string> pooled;
  for (size_t i = 0; i < arms.size(); ++i) {
    const AblationArm& arm = arms[i];
    if (is_draw(arm) && pooled.insert(arm.score).second) {
      rows.push_back(summary.row(draws[arm.score]));
      rows.back().which = "random";
      rows.back().score = arm.score;
    }
    AblationRow row = summary.row({i});
    row.which = arm.which;
    row.score = arm.score;
    row.heads = arm.heads;
    const auto top = tops.find(arm.score);
    row.layer_matched = top == tops.end() || is_layer_matched(arm, arms[top->second]);
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace

void AblateOptions::validate(const ModelShape& shape) const {
  answers.validate(shape);
  check_range("bootstrap draws", bootstrap_draws, 100, 1000000);
}

AblateOutcome ablate(const MeasuredModel& model,
                     const std::vector<AblationArm>& arms,
                     const std::vector<Probe>& probes,
                     const std::vector<Probe>& mean_prompts,
                     const AblateOptions& options,
                     ProgressSink& progress) {
  options.validate(model.identity.shape);
  if (probes.empty()) throw InputError("probes", "at least one", "none");
  const bool with_means = options.mode == MaskMode::kMean;
  if (with_means && mean_prompts.empty()) throw InputError("mean prompts", "at least one", "none");
  MaskedAnswers answers(model, options,
                        longest_context(probes, options.answers, model.decoder.config()));

  std::vector<AblationArm> asked{{"none", "", {}}};
  asked.insert(asked.end(), arms.begin(), arms.end());
  AblateOutcome outcome;
  if (with_means && !answers.measure_means(mean_prompts, progress)) return outcome;
  const Successes successes = ask_all(answers, asked, probes, progress);
  outcome.num_probes = static_cast<int64_t>(successes.front().size());
  outcome.complete = successes.front().size() == probes.size();
  if (outcome.num_probes > 0) {
    outcome.rows = summarise(asked, Summary(successes, probes, options));
  }
  return outcome;
}

void check_fresh(const std::vector<Probe>& probes, const HeadProfile& profile) {
  std::set<std::string> used;
  for (const ProbeRecord& record : profile.probes) used.insert(record.prompt_hash);
  for (const Probe& probe : probes) {
    if (used.count(prompt_hash(probe.prompt)) == 0) continue;
    throw InputError("probe " + std::to_string(probe.id),
                     "a prompt that the profile was not made of", "one of the profile's own",
                     "Use another --seed, or other needles or another haystack.");
  }
}

}  // namespace headscope::profiler
