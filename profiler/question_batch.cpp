#include "profiler/question_batch.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "runtime/shared_prefix_cache.h"

namespace headscope::profiler {
namespace {

// One question of a batch.
struct Line {
  AnswerInProgress answer;
  AnswerCapture capture;
  int64_t num_rows = 0;    // in the pass to come or running
  int64_t first_read = 0;  // of those, the first that emits a token
};

// Shows every line its own rows.
class Splitter final : public model::Observer {
 public:
  Splitter(std::vector<Line>& lines, const runtime::SharedPrefixCache& cache)
      : lines_(lines), cache_(cache) {}

  void on_layer(const model::LayerView& view) override {
    int64_t begin = 0;
    for (size_t s = 0; s < lines_.size(); begin += lines_[s++].num_rows) {
      Line& line = lines_[s];
      if (line.num_rows > 0) line.capture.on_layer(part(view, line, begin, s));
    }
  }

  // Before a pass: within it the cache counts its rows at the last layer only.
  void take_positions() {
    positions_.clear();
    for (int64_t s = 0; s < cache_.num_sequences(); ++s) positions_.push_back(cache_.length(s));
  }

 private:
  [[nodiscard]] model::LayerView part(const model::LayerView& view,
                                      const Line& line,
                                      int64_t begin,
                                      size_t sequence) const {
    model::LayerView rows = view;
    for (at::Tensor* tensor : {&rows.q, &rows.k, &rows.v, &rows.z, &rows.lse}) {
      *tensor = tensor->narrow(/*dim=*/2, begin + line.first_read, line.num_rows - line.first_read);
    }
    rows.first_position = positions_[sequence] + line.first_read;
    return rows;
  }

  std::vector<Line>& lines_;
  const runtime::SharedPrefixCache& cache_;
  std::vector<int64_t> positions_;  // of each line's first row
};

class Batch {
 public:
  Batch(const MeasuredModel& model,
        const ProfileOptions& options,
        const ScorerSet& scorers,
        const runtime::FullKvCache& prefix,
        std::span<const Probe* const> probes)
      : model_(model),
        prefix_length_(prefix.next_position()),
        cache_(prefix, std::ssize(probes)),
        splitter_(lines_, cache_) {
    for (size_t s = 0; s < probes.size(); ++s) {
      const auto sequence = static_cast<int64_t>(s);
      lines_.push_back(
          {AnswerInProgress(model, options, *probes[s]),
           AnswerCapture(
               model.identity.shape,
               [this, sequence](int64_t layer) { return cache_.keys(layer, sequence)[0]; },
               scorers)});
      lines_.back().capture.watch(*probes[s]);
    }
  }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  std::vector<ProbeAnswer> read() {
    pass(prompt_rests());
    while (std::any_of(lines_.begin(), lines_.end(),
                       [](const Line& line) { return !line.answer.next_rows().empty(); })) {
      pass(std::vector<std::vector<int64_t>>(lines_.size()));
    }
    std::vector<ProbeAnswer> answers;
    for (Line& line : lines_) answers.push_back(std::move(line.answer).finish());
    return answers;
  }

 private:
  // What is each prompt's own, its last token left out.
  [[nodiscard]] std::vector<std::vector<int64_t>> prompt_rests() const {
    std::vector<std::vector<int64_t>> rests;
    for (const Line& line : lines_) {
      const std::vector<int64_t>& prompt = line.answer.probe().prompt;
      rests.emplace_back(prompt.begin() + prefix_length_, prompt.end() - 1);
    }
    return rests;
  }

  // Every line's `unread` tokens, then the rows that emit its answer.
  void pass(const std::vector<std::vector<int64_t>>& unread) {
    std::vector<int64_t> tokens, counts, wanted;
    for (size_t s = 0; s < lines_.size(); ++s) {
      Line& line = lines_[s];
      const std::vector<int64_t>& rows = line.answer.next_rows();
      line.first_read = std::ssize(unread[s]);
      line.num_rows = line.first_read + std::ssize(rows);
      counts.push_back(line.num_rows);
      tokens.insert(tokens.end(), unread[s].begin(), unread[s].end());
      for (const int64_t token : rows) {
        wanted.push_back(std::ssize(tokens));
        tokens.push_back(token);
      }
    }
    cache_.expect_rows(counts);
    splitter_.take_positions();
    const std::vector<int64_t> positions = cache_.row_positions();
    const at::Tensor logits =
        model_.decoder.forward(at::tensor(tokens, at::kLong).unsqueeze(0), cache_,
                               {.logits = model::LogitRows::kChosen,
                                .observer = &splitter_,
                                .positions = positions,
                                .logit_rows = wanted});
    take(logits[0].argmax(/*dim=*/1).to(at::kCPU));
  }

  void take(const at::Tensor& choices) {
    const int64_t* next = choices.const_data_ptr<int64_t>();
    for (size_t s = 0; s < lines_.size(); ++s) {
      Line& line = lines_[s];
      const int64_t count = line.num_rows - line.first_read;
      if (line.num_rows == 0) continue;
      const int64_t kept = line.answer.take({next, static_cast<size_t>(count)}, line.capture);
      next += count;
      const auto sequence = static_cast<int64_t>(s);
      cache_.truncate(sequence, cache_.length(sequence) - count + kept);
    }
  }

  const MeasuredModel& model_;
  int64_t prefix_length_;
  runtime::SharedPrefixCache cache_;
  std::vector<Line> lines_;
  Splitter splitter_;
};

}  // namespace

bool can_batch_questions(const model::ModelConfig& config) {
  return config.rope.scaling != model::RopeScaling::kDynamic;
}

std::vector<ProbeAnswer> read_questions(const MeasuredModel& model,
                                        const ProfileOptions& options,
                                        const ScorerSet& scorers,
                                        const runtime::FullKvCache& prefix,
                                        std::span<const Probe* const> probes) {
  const int64_t prefix_length = prefix.next_position();
  std::vector<ProbeAnswer> answers;
  size_t begin = 0;
  while (begin < probes.size()) {
    int64_t rows = 0;
    size_t end = begin;
    for (; end < probes.size(); ++end) {
      rows += std::ssize(probes[end]->prompt) - prefix_length + std::ssize(probes[end]->gold);
      if (end > begin && rows > kBatchRows) break;
    }
    auto some = Batch(model, options, scorers, prefix, probes.subspan(begin, end - begin)).read();
    std::move(some.begin(), some.end(), std::back_inserter(answers));
    begin = end;
  }
  return answers;
}

}  // namespace headscope::profiler
