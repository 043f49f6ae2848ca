#include "profiler/cli/retained_report.h"

#include <cstdio>
#include <numeric>

#include "profiler/greedy_answer.h"

namespace headscope::cli {

outputs::RetainedTokens collect_retained(const runtime::CompressingKvCache& cache,
                                         const std::vector<int64_t>& prompt,
                                         const model::Tokenizer* tokenizer,
                                         const std::string& answer) {
  outputs::RetainedTokens retained;
  const BudgetPlan& plan = cache.plan();
  retained.model = plan.model.name;
  retained.method = plan.method;
  retained.prompt_ids = prompt;
  if (tokenizer != nullptr) {
    std::vector<std::string> pieces;
    for (const int64_t id : prompt) pieces.push_back(tokenizer->decode({id}));
    retained.answer_positions = outputs::find_answer(pieces, answer);
    for (const std::string& piece : pieces) {
      retained.pieces.push_back(profiler::valid_utf8(piece));
    }
  }
  const auto prompt_tokens = static_cast<int64_t>(prompt.size());
  for (int64_t layer = 0; layer < plan.model.shape.num_layers; ++layer) {
    std::vector<std::vector<int64_t>> heads;
    for (int64_t head = 0; head < plan.model.shape.num_kv_heads; ++head) {
      heads.push_back(cache.retained().retained_positions(layer, head));
      std::erase_if(heads.back(), [&](int64_t position) { return position >= prompt_tokens; });
    }
    retained.kept.push_back(std::move(heads));
  }
  return retained;
}

std::string recall_text(const outputs::RetainedTokens& retained) {
  const std::vector<double> recall = outputs::answer_recall(retained);
  const double mean =
      std::accumulate(recall.begin(), recall.end(), 0.0) / static_cast<double>(recall.size());
  char entry[48];
  std::snprintf(entry, sizeof entry, "answer kept: %.0f %% in the mean; by layer", 100.0 * mean);
  std::string text = entry;
  for (size_t layer = 0; layer < recall.size(); ++layer) {
    std::snprintf(entry, sizeof entry, "%s%zu: %.0f %%", layer % 10 == 0 ? "\n  " : ", ", layer,
                  100.0 * recall[layer]);
    text += entry;
  }
  return text;
}

}  // namespace headscope::cli
