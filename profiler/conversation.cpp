#include "profiler/conversation.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "analysis/head_ranking.h"
#include "outputs/input_error.h"

namespace headscope::profiler {

void DriftOptions::validate() const {
  if (sentinels < 0) {
    throw InputError("drift sentinels", "0 or more heads", std::to_string(sentinels));
  }
  if (!(threshold >= 0.0 && threshold <= 1.0)) {
    throw InputError("drift threshold", "a share from 0 to 1", std::to_string(threshold));
  }
  if (fallback != 0.0 && !(fallback > 1.0 && fallback <= 1e6)) {
    throw InputError("fallback", "a factor above 1", std::to_string(fallback));
  }
}

std::vector<HeadId> retrieval_heads(const HeadProfile& profile) {
  const auto scored = profile.scores.find("retrieval");
  if (scored == profile.scores.end()) return {};
  std::vector<HeadId> heads;
  for (const analysis::RankedHead& ranked : analysis::rank_heads(scored->second.mean)) {
    if (ranked.score > 0.0) heads.push_back(ranked.head);
  }
  return heads;
}

BudgetPlan enlarged(BudgetPlan plan, double factor) {
  for (std::vector<int64_t>& layer : plan.budget_tokens) {
    for (int64_t& budget : layer) {
      budget = static_cast<int64_t>(std::ceil(static_cast<double>(budget) * factor));
    }
  }
  return plan;
}

Conversation::Conversation(const model::Decoder& decoder,
                           std::optional<BudgetPlan> plan,
                           const runtime::CompressorOptions& compressor,
                           const DriftOptions& drift)
    : decoder_(decoder), plan_(std::move(plan)), compressor_(compressor), drift_(drift) {
  drift_.validate();
  compressor_.drift_sentinels = drift_.sentinels;
  start_over();
}

void Conversation::start_over() {
  history_.clear();
  prompt_.clear();
  if (plan_) {
    compressed_ = runtime::make_cache(*plan_, compressor_);
  } else {
    full_ = std::make_unique<runtime::FullKvCache>(decoder_.config().num_layers);
  }
}

const runtime::KvCache& Conversation::cache() const {
  return compressed_ ? static_cast<const runtime::KvCache&>(*compressed_) : *full_;
}

TurnResult Conversation::say(const std::vector<int64_t>& tokens,
                             const model::GenerateOptions& options) {
  std::vector<int64_t> turn;
  if (unread_ && std::find(options.stop_ids.begin(), options.stop_ids.end(), *unread_) ==
                     options.stop_ids.end()) {
    turn.push_back(*unread_);
  }
  turn.insert(turn.end(), tokens.begin(), tokens.end());
  const std::vector<int64_t> before = history_;
  TurnResult result = answer(turn, options);
  if (result.drifted && drift_.fallback > 0.0 &&
      result.generated.stop_reason != model::StopReason::kCancelled) {
    plan_ = enlarged(std::move(*plan_), drift_.fallback);
    std::vector<int64_t> everything = before;
    everything.insert(everything.end(), turn.begin(), turn.end());
    start_over();
    result = answer(everything, options);
    result.fell_back = true;
  }
  result.prompt_tokens = static_cast<int64_t>(tokens.size());
  return result;
}

TurnResult Conversation::answer(const std::vector<int64_t>& tokens,
                                const model::GenerateOptions& options) {
  runtime::KvCache& cache = compressed_ ? static_cast<runtime::KvCache&>(*compressed_) : *full_;
  TurnResult result;
  result.generated = model::generate(decoder_, cache, tokens, options);
  const std::vector<int64_t>& ids = result.generated.generated_ids;
  if (prompt_.empty()) prompt_ = tokens;
  history_.insert(history_.end(), tokens.begin(), tokens.end());
  unread_.reset();
  if (!ids.empty()) {
    history_.insert(history_.end(), ids.begin(), ids.end() - 1);
    unread_ = ids.back();
  }
  if (compressed_ && drift_.sentinels > 0) {
    result.kept = compressed_->drift();
    result.drifted =
        result.kept->window < drift_.threshold || result.kept->sentinel_lowest < drift_.threshold;
  }
  return result;
}

}  // namespace headscope::profiler
