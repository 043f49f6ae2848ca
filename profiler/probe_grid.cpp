#include "profiler/probe_grid.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>
#include <string>
#include <unordered_set>

#include "outputs/input_error.h"
#include "profiler/haystack_window.h"
#include "profiler/needle.h"

namespace headscope::profiler {
namespace {

constexpr int64_t kWindowAttempts = 64;
constexpr int64_t kBytesPerToken = 12;    // more than any tokenizer has on prose
constexpr int64_t kProseBytes = 1 << 20;  // windows to choose from

// A prompt before its tokens are looked at.
struct Draft {
  PromptText text;
  model::Encoding encoding;
  int64_t statement_at = 0;  // byte in the context
};

class GridBuilder {
 public:
  GridBuilder(const ProbeGridOptions& options,
              const std::vector<Needle>& needles,
              const Haystack& haystack,
              const PromptWriter& writer)
      : options_(options),
        needles_(needles),
        writer_(writer),
        tokens_(haystack, writer.tokenizer()),
        random_(options.seed) {}

  std::vector<Probe> build() {
    std::vector<Probe> probes;
    for (const int64_t context_length : options_.context_lengths) {
      // Depths share their windows, so that their prompts share what stands before the needle.
      const std::vector<int64_t> starts = choose_windows(context_length);
      for (const double depth : options_.depths) {
        for (const int64_t start : starts) {
          const Needle& needle = needles_[next_needle_++ % needles_.size()];
          probes.push_back(place(needle, context_length, depth, start));
          probes.back().id = static_cast<int64_t>(probes.size()) - 1;
        }
      }
    }
    return probes;
  }

 private:
  // One start sentence for each needle of a cell.
  std::vector<int64_t> choose_windows(int64_t context_length) {
    num_windows_ = tokens_.last_start(context_length) + 1;
    if (num_windows_ == 0) {
      throw InputError("haystack " + tokens_.haystack().name(),
                       "text of at least " + std::to_string(context_length) + " tokens",
                       "a shorter one",
                       "Give more text with --haystack, or shorter --context-lengths.");
    }
    std::vector<int64_t> starts;
    for (int64_t i = 0; i < options_.needles_per_cell; ++i) {
      starts.push_back(static_cast<int64_t>(random_() % static_cast<uint64_t>(num_windows_)));
    }
    return starts;
  }

  // The probe in the window at `start`, or in another one where that cannot serve.
  Probe place(const Needle& needle, int64_t context_length, double depth, int64_t start) {
    check_room(needle, context_length);
    const int64_t attempts = std::min(num_windows_, kWindowAttempts);
    const int64_t step = num_windows_ / attempts;
    for (int64_t attempt = 0; attempt < attempts; ++attempt) {
      const int64_t window = (start + attempt * step) % num_windows_;
      const std::optional<Draft> draft = fill_window(needle, context_length, depth, window);
      if (draft && seen_.insert(std::hash<std::string>{}(draft->text.text)).second) {
        return finish(needle, *draft, depth);
      }
    }
    throw InputError("haystack " + tokens_.haystack().name(),
                     "enough text for different prompts of " + std::to_string(context_length) +
                         " tokens without the needle's statement in it",
                     "none left for needle " + needle.id,
                     "Give more text with --haystack, or fewer depths or needles.");
  }

  void check_room(const Needle& needle, int64_t context_length) {
    empty_size_ = static_cast<int64_t>(draft_of(needle, 0, 0, 0).encoding.ids.size());
    if (empty_size_ >= context_length) {
      throw InputError("--context-lengths",
                       "more than the " + std::to_string(empty_size_) + " tokens of needle " +
                           needle.id + ", its question and the template",
                       std::to_string(context_length));
    }
  }

  // Sentences [start, start + n) with the needle nearest to `depth`: the fullest that fits.
  std::optional<Draft> fill_window(const Needle& needle,
                                   int64_t context_length,
                                   double depth,
                                   int64_t start) {
    const auto measure = [&](int64_t n) {
      const int64_t before = sentences_before(start, n, depth);
      return static_cast<int64_t>(draft_of(needle, start, before, n).encoding.ids.size());
    };
    const std::optional<int64_t> n =
        fit_sentences(tokens_, start, context_length, empty_size_, measure);
    if (!n || find_answer(tokens_.text(start, start + *n), needle.statement) >= 0) {
      return std::nullopt;
    }
    return draft_of(needle, start, sentences_before(start, *n, depth), *n);
  }

  // How many of n sentences stand before the needle: the boundary nearest to the asked depth.
  int64_t sentences_before(int64_t start, int64_t n, double depth) {
    int64_t total = needle_size_;
    for (int64_t i = 0; i < n; ++i) {
      total += tokens_.count(start + i);
    }
    const double wanted = depth * static_cast<double>(total);
    int64_t position = 0;
    int64_t before = 0;
    while (before < n) {
      const int64_t next = position + tokens_.count(start + before);
      if (std::abs(static_cast<double>(next) - wanted) >=
          std::abs(static_cast<double>(position) - wanted)) {
        break;
      }
      position = next;
      ++before;
    }
    return before;
  }

  // The needle stands after `before` of the n sentences, between single spaces.
  Draft draft_of(const Needle& needle, int64_t start, int64_t before, int64_t n) {
    std::string context = tokens_.text(start, start + before);
    context += context.empty() ? "" : " ";
    Draft draft;
    draft.statement_at = static_cast<int64_t>(context.size());
    const std::string after = tokens_.text(start + before, start + n);
    context += needle.statement + (after.empty() ? "" : " ") + after;
    draft.text = writer_.write(context, needle.question, needle.answer_prefix);
    draft.encoding = writer_.encode(draft.text.text);
    if (n == 0) {
      const auto span = covering_tokens(draft.encoding, draft.text.context);
      needle_size_ = span ? span->size() : 0;
    }
    return draft;
  }

  TokenSpan verified_span(const Needle& needle, const Draft& draft, int64_t begin, size_t size) {
    const model::ByteSpan range{begin, begin + static_cast<int64_t>(size)};
    const auto span = writer_.token_span(draft.text.text, draft.encoding, range);
    if (!span) {
      throw InputError("needle " + needle.id, "its text to be found again in the encoded prompt",
                       "other tokens", "Use text that this model's tokenizer keeps as it is.");
    }
    return *span;
  }

  Probe finish(const Needle& needle, const Draft& draft, double depth) {
    Probe probe;
    probe.family = needle.family;
    probe.needle_id = needle.id;
    probe.prompt_format = writer_.format_name();
    probe.prompt = draft.encoding.ids;
    probe.gold = writer_.continuation(draft.text.text, draft.encoding, needle.answer);
    const int64_t statement = draft.text.context.begin + draft.statement_at;
    const int64_t answer = statement + find_answer(needle.statement, needle.real_needle);
    probe.needle_spans = {verified_span(needle, draft, statement, needle.statement.size())};
    probe.answer_spans = {verified_span(needle, draft, answer, needle.real_needle.size())};
    probe.asked_depth = depth;
    const TokenSpan context = covering_tokens(draft.encoding, draft.text.context).value();
    probe.achieved_depth = static_cast<double>(probe.needle_spans[0].begin - context.begin) /
                           static_cast<double>(context.size());
    probe.answer = needle.answer;
    return probe;
  }

  const ProbeGridOptions& options_;
  const std::vector<Needle>& needles_;
  const PromptWriter& writer_;
  SentenceTokens tokens_;
  std::mt19937_64 random_;
  std::unordered_set<size_t> seen_;  // hashes of the prompts so far
  size_t next_needle_ = 0;
  int64_t num_windows_ = 0;  // start sentences with enough text after them, at this context length
  int64_t empty_size_ = 0;   // tokens of the prompt without haystack, for the present needle
  int64_t needle_size_ = 0;  // tokens of its statement
};

void check_options(const ProbeGridOptions& options, const std::vector<Needle>& needles) {
  const std::string where = "probe grid";
  if (options.context_lengths.empty() || options.depths.empty()) {
    throw InputError(where, "at least one context length and one depth", "none");
  }
  for (const double depth : options.depths) {
    if (!(depth >= 0.0 && depth <= 1.0)) {
      throw InputError("--depths", "numbers from 0 to 1", std::to_string(depth));
    }
  }
  for (const int64_t length : options.context_lengths) {
    if (length < 1) {
      throw InputError("--context-lengths", "at least 1 token", std::to_string(length));
    }
  }
  if (options.needles_per_cell < 1 ||
      options.needles_per_cell > static_cast<int64_t>(needles.size())) {
    throw InputError("--needles-per-cell",
                     "1 to the " + std::to_string(needles.size()) + " needles there are",
                     std::to_string(options.needles_per_cell));
  }
  for (const Needle& needle : needles) {
    if (find_answer(needle.statement, needle.real_needle) < 0) {
      throw InputError("needle " + needle.id, "an answer that stands in its statement",
                       "\"" + needle.real_needle + "\"");
    }
  }
}

}  // namespace

std::vector<Probe> build_probe_grid(const ProbeGridOptions& options,
                                    const std::vector<Needle>& needles,
                                    Haystack& haystack,
                                    const PromptWriter& writer) {
  check_options(options, needles);
  const int64_t longest =
      *std::max_element(options.context_lengths.begin(), options.context_lengths.end());
  haystack.grow(longest * kBytesPerToken + kProseBytes);
  return GridBuilder(options, needles, haystack, writer).build();
}

}  // namespace headscope::profiler
