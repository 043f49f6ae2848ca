#include "profiler/probes/shared_haystack.h"

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <utility>

#include "outputs/input_error.h"
#include "profiler/probes/context_layout.h"
#include "profiler/probes/haystack_windows.h"
#include "profiler/probes/question_prompt.h"

namespace headscope::profiler {
namespace {

class SharedBuilder {
 public:
  SharedBuilder(const SharedHaystackOptions& options,
                const Haystack& haystack,
                const PromptWriter& writer)
      : options_(options),
        writer_(writer),
        tokens_(haystack, writer.tokenizer()),
        random_(options.seed) {}

  std::vector<SharedGroup> build(const std::vector<Question>& questions) {
    std::vector<SharedGroup> groups;
    for (const int64_t context_length : options_.context_lengths) {
      std::vector<const Question*> waiting;
      for (const Question& question : questions) {
        waiting.push_back(&question);
      }
      while (!waiting.empty()) {
        groups.push_back(place(take_group(waiting, context_length), context_length));
        for (Probe& probe : groups.back().probes) {
          probe.id = next_id_++;
        }
      }
    }
    return groups;
  }

 private:
  using Group = std::vector<const Question*>;

  // Moves the questions that stand together out of those that wait.
  Group take_group(Group& waiting, int64_t context_length) {
    const auto room =
        static_cast<int64_t>(options_.max_share * static_cast<double>(context_length));
    int64_t used = 0;
    std::set<std::string> subjects;
    Group group;
    Group later;
    for (const Question* question : waiting) {
      int64_t size = 0;
      for (const Statement& statement : question->statements) {
        size += tokens_.count_of(statement.text);
      }
      const bool is_free =
          std::none_of(question->subjects.begin(), question->subjects.end(),
                       [&](const std::string& subject) { return subjects.count(subject) > 0; });
      if (group.empty() || (is_free && used + size <= room)) {
        group.push_back(question);
        used += size;
        subjects.insert(question->subjects.begin(), question->subjects.end());
      } else {
        later.push_back(question);
      }
    }
    waiting = std::move(later);
    return group;
  }

  // One depth for each question of a group, in random order.
  std::vector<double> draw_depths(size_t count) {
    std::vector<double> depths;
    for (size_t i = 0; i < count; ++i) {
      depths.push_back((static_cast<double>(i) + 0.5) / static_cast<double>(count));
    }
    for (size_t i = count; i > 1; --i) {
      std::swap(depths[i - 1], depths[random_() % i]);
    }
    return depths;
  }

  SharedGroup place(const Group& group, int64_t context_length) {
    const std::vector<double> depths = draw_depths(group.size());
    std::vector<PlacedStatement> statements;
    for (size_t i = 0; i < group.size(); ++i) {
      const std::vector<PlacedStatement> own = place_statements(*group[i], depths[i]);
      statements.insert(statements.end(), own.begin(), own.end());
    }
    const auto longest_prompt = [&](const LaidContext& laid) {
      int64_t longest = 0;
      for (const Question* question : group) {
        const QuestionPrompt prompt = write_prompt(writer_, laid.text, *question);
        longest = std::max(longest, static_cast<int64_t>(prompt.encoding.ids.size()));
      }
      return longest;
    };
    HaystackWindows windows(tokens_, context_length, random_());
    const LaidContext laid = windows.first_that_fits(statements, group.front()->id, longest_prompt,
                                                     [](const auto&) { return true; });
    return read_group(group, depths, laid);
  }

  SharedGroup read_group(const Group& group,
                         const std::vector<double>& depths,
                         const LaidContext& laid) {
    SharedGroup shared;
    auto next = laid.statements.begin();
    for (size_t i = 0; i < group.size(); ++i) {
      const auto count = static_cast<std::ptrdiff_t>(group[i]->statements.size());
      const std::vector<model::ByteSpan> own(next, next + count);
      next += count;
      shared.probes.push_back(read_probe(writer_, write_prompt(writer_, laid.text, *group[i]),
                                         *group[i], own, depths[i]));
    }
    // The last token of each prompt stays with its probe: its row emits the answer.
    const std::vector<int64_t>& first = shared.probes.front().prompt;
    size_t common = first.size() - 1;
    for (const Probe& probe : shared.probes) {
      const size_t end = std::min(common, probe.prompt.size() - 1);
      const auto stop = first.begin() + static_cast<std::ptrdiff_t>(end);
      common = static_cast<size_t>(std::mismatch(first.begin(), stop, probe.prompt.begin()).first -
                                   first.begin());
    }
    for (const Probe& probe : shared.probes) {
      if (probe.needle_spans.back().end > static_cast<int64_t>(common)) {
        throw InputError("probe of needle " + probe.needle_id,
                         "a context whose tokens do not depend on the question", "others",
                         "Use another tokenizer, or one needle to a haystack.");
      }
    }
    shared.prefix.assign(first.begin(), first.begin() + static_cast<std::ptrdiff_t>(common));
    return shared;
  }

  const SharedHaystackOptions& options_;
  const PromptWriter& writer_;
  SentenceTokens tokens_;
  std::mt19937_64 random_;
  int64_t next_id_ = 0;
};

}  // namespace

std::vector<SharedGroup> build_shared_probes(const SharedHaystackOptions& options,
                                             const std::vector<Question>& questions,
                                             Haystack& haystack,
                                             const PromptWriter& writer) {
  check_context_lengths(options.context_lengths);
  if (questions.empty()) {
    throw InputError("shared haystack", "at least one question", "none");
  }
  if (!(options.max_share > 0.0 && options.max_share < 1.0)) {
    throw InputError("share of the context for needles", "a number above 0 and below 1",
                     std::to_string(options.max_share));
  }
  grow_for(haystack, options.context_lengths);
  return SharedBuilder(options, haystack, writer).build(questions);
}

}  // namespace headscope::profiler
