#include "profiler/probe_grid.h"

#include <algorithm>
#include <functional>
#include <random>
#include <string>
#include <unordered_set>

#include "outputs/input_error.h"
#include "profiler/probes/context_layout.h"
#include "profiler/probes/haystack_windows.h"
#include "profiler/probes/no_needle_control.h"
#include "profiler/probes/question_prompt.h"

namespace headscope::profiler {
namespace {

// What a control needs to know of the probe that it mirrors.
struct Placement {
  const Question* question;
  LaidContext laid;
  double depth;
  int64_t context_length;
};

class GridBuilder {
 public:
  GridBuilder(const ProbeGridOptions& options,
              const std::vector<Question>& questions,
              const Haystack& haystack,
              const PromptWriter& writer)
      : options_(options),
        questions_(questions),
        writer_(writer),
        tokens_(haystack, writer.tokenizer()) {}

  std::vector<Probe> build() {
    const int64_t longest =
        *std::max_element(options_.context_lengths.begin(), options_.context_lengths.end());
    std::mt19937_64 random(options_.seed);
    std::vector<uint64_t> starts;
    for (int64_t i = 0; i < options_.needles_per_cell; ++i) {
      starts.push_back(static_cast<uint64_t>(HaystackWindows(tokens_, longest, random()).start()));
    }
    for (const int64_t context_length : options_.context_lengths) {
      for (const double depth : options_.depths) {
        for (const uint64_t start : starts) {
          add_probe(questions_[next_question_++ % questions_.size()], context_length, depth, start);
        }
      }
    }
    add_controls();
    return std::move(probes_);
  }

 private:
  void add_probe(const Question& question, int64_t context_length, double depth, uint64_t start) {
    const std::vector<PlacedStatement> statements = place_statements(question, depth);
    const auto measure = [&](const LaidContext& laid) {
      return static_cast<int64_t>(write_prompt(writer_, laid.text, question).encoding.ids.size());
    };
    const auto is_new = [&](const LaidContext& laid) {
      const std::string text = write_prompt(writer_, laid.text, question).text.text;
      return seen_.insert(std::hash<std::string>{}(text)).second;
    };
    HaystackWindows windows(tokens_, context_length, start);
    LaidContext laid = windows.first_that_fits(statements, question.id, measure, is_new);
    append(read_probe(writer_, write_prompt(writer_, laid.text, question), question,
                      laid.statements, depth));
    if (options_.controls_per_length > 0) {
      placements_.push_back({&question, std::move(laid), depth, context_length});
    }
  }

  void append(Probe probe) {
    probes_.push_back(std::move(probe));
    probes_.back().id = static_cast<int64_t>(probes_.size()) - 1;
  }

  // Of each context length's probes, as many as asked for, evenly spread over its depths.
  void add_controls() {
    const int64_t per_length =
        options_.num_probes() / static_cast<int64_t>(options_.context_lengths.size());
    const int64_t wanted = std::min(options_.controls_per_length, per_length);
    for (size_t length = 0; length < options_.context_lengths.size(); ++length) {
      for (int64_t i = 0; i < wanted; ++i) {
        const int64_t within = (2 * i + 1) * per_length / (2 * wanted);
        const Placement& mirrored =
            placements_[static_cast<size_t>(static_cast<int64_t>(length) * per_length + within)];
        append(make_control(writer_, tokens_, *mirrored.question, mirrored.laid, mirrored.depth,
                            mirrored.context_length));
      }
    }
  }

  const ProbeGridOptions& options_;
  const std::vector<Question>& questions_;
  const PromptWriter& writer_;
  SentenceTokens tokens_;
  std::vector<Probe> probes_;
  std::vector<Placement> placements_;  // of the probes, while controls are wanted
  std::unordered_set<size_t> seen_;    // hashes of the prompts so far
  size_t next_question_ = 0;
};

void check_options(const ProbeGridOptions& options, size_t num_questions) {
  check_context_lengths(options.context_lengths);
  if (options.depths.empty()) {
    throw InputError("--depths", "at least one", "none");
  }
  for (const double depth : options.depths) {
    if (!(depth >= 0.0 && depth <= 1.0)) {
      throw InputError("--depths", "numbers from 0 to 1", std::to_string(depth));
    }
  }
  if (options.needles_per_cell < 1 ||
      options.needles_per_cell > static_cast<int64_t>(num_questions)) {
    throw InputError("--needles-per-cell",
                     "1 to the " + std::to_string(num_questions) + " needles there are",
                     std::to_string(options.needles_per_cell));
  }
  if (options.controls_per_length < 0) {
    throw InputError("--controls", "0 or more", std::to_string(options.controls_per_length));
  }
}

}  // namespace

std::vector<Probe> build_probe_grid(const ProbeGridOptions& options,
                                    const std::vector<Question>& questions,
                                    Haystack& haystack,
                                    const PromptWriter& writer) {
  check_options(options, questions.size());
  grow_for(haystack, options.context_lengths);
  return GridBuilder(options, questions, haystack, writer).build();
}

std::vector<Probe> build_probe_grid(const ProbeGridOptions& options,
                                    const std::vector<Needle>& needles,
                                    Haystack& haystack,
                                    const PromptWriter& writer) {
  return build_probe_grid(options, questions_of(needles), haystack, writer);
}

}  // namespace headscope::profiler
