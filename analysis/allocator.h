// Shares a budget out among the layers and KV heads of a model. One file per allocator; to add one,
// derive from Allocator and name it in allocator.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "analysis/query_group.h"
#include "outputs/budget_plan.h"
#include "outputs/head_matrix.h"
#include "outputs/model_shape.h"

namespace headscope::analysis {

// Eviction error of every KV head at ascending budgets, as ErrorCurves::kv_head.
struct HeadErrorCurves {
  std::vector<int64_t> budgets;  // tokens, ascending
  std::vector<double> error;     // [num_layers, num_kv_heads, num_budgets], >= 0
  // Mean of the squared errors, same shape; empty = the square of `error` stands for it.
  std::vector<double> squared_error = {};
};

struct HeadKvOptions {
  double beta = 1.2;  // >= 1: every head keeps 1 - 1/beta of the budget, 1/beta is shared by score
  GroupReduction reduction = GroupReduction::kSum;
  bool as_published = false;  // the program's rounding, nothing redistributed
};

struct RazorOptions {
  double induction_share = 0.14;  // of all KV heads keep everything, 0..1
  double echo_share = 0.01;
};

struct GatesOptions {
  int64_t num_recent_tokens = 256;  // of a streaming head, beside the sinks
  // Heads whose gate is above it keep everything; default: as many of the best as can be paid.
  std::optional<double> threshold;
};

enum class CurveObjective {
  kSquared,  // sum of squared errors: what a small perturbation costs in KL
  kPlain,    // sum of errors
};

struct AllocatorInput {
  ModelShape shape;
  int64_t budget_tokens = 0;   // B: mean tokens per KV head, observation window included; >= 1
  int64_t extra_tokens = 0;    // beyond B in every KV head, 0 .. L * K - 1
  SelectionOptions selection;  // as asked for
  // Tokens of the prompts that the plan is for: no budget exceeds it. 0 = not given.
  int64_t context_length = 0;
  std::vector<int64_t> lint_contexts;  // further lengths, for the lint alone
  std::optional<int64_t> min_tokens;   // per KV head, 1..B; default: the allocator's own floor
  std::optional<int64_t> max_tokens;   // per KV head, >= B; default: the allocator's own ceiling
  int64_t page_tokens = 1;             // budgets are whole pages, >= 1
  int64_t num_ranks = 1;               // equal shares of the KV heads and of the tokens; divides K
  int64_t bytes_per_element = 0;       // of the cache, for the lint; 0 = not known

  std::vector<double> layer_error;    // [num_layers], >= 0
  HeadMatrix head_scores;             // [num_layers, num_query_heads], >= 0, NaN = not measured
  HeadMatrix induction;               // as head_scores
  HeadMatrix echo;                    // as head_scores
  HeadMatrix gates;                   // [num_layers, num_kv_heads]
  HeadErrorCurves curves;             // of every KV head
  std::vector<double> layer_weights;  // [num_layers], > 0, of the curves; empty = all equal

  HeadKvOptions headkv;
  RazorOptions razor;
  GatesOptions gates_options;
  CurveObjective objective = CurveObjective::kSquared;
};

// Which of the input's measurements an allocator reads.
struct AllocatorNeeds {
  bool layer_error = false;
  bool head_scores = false;
  bool copy_scores = false;  // induction and echo
  bool gates = false;
  bool curves = false;
  bool context_length = false;
};

struct Allocation {
  std::vector<std::vector<int64_t>> budget_tokens;  // [num_layers][num_kv_heads]
  SelectionOptions selection;  // as it can be used: the window never exceeds the smallest budget
  bool below_floor = false;    // B lies under the allocator's floor: floor and window were lowered
  PlanLint lint;
};

// How the heads of a plan choose what they keep.
enum class KeptBy {
  kScore,     // the best keys by attention and the observation window
  kPosition,  // the first tokens and the most recent ones; everything where the budget allows
};

// One tensor-parallel rank's share of the problem, counted in pages. Whatever the input holds per
// KV head or query head is the rank's own.
struct ShareProblem {
  const AllocatorInput& input;
  int64_t total = 0;    // pages, in floor * heads .. ceiling * heads
  int64_t floor = 1;    // pages of a KV head
  int64_t ceiling = 1;  // pages of a KV head
  [[nodiscard]] int64_t num_layers() const { return input.shape.num_layers; }
  [[nodiscard]] int64_t num_kv_heads() const { return input.shape.num_kv_heads; }
  [[nodiscard]] size_t num_heads() const {
    return static_cast<size_t>(num_layers() * num_kv_heads());
  }
  // Mean tokens per KV head that there really are to spend.
  [[nodiscard]] double mean_tokens() const {
    return static_cast<double>(total * input.page_tokens) / static_cast<double>(num_heads());
  }
};

class Allocator {
 public:
  virtual ~Allocator() = default;
  [[nodiscard]] virtual std::string name() const = 0;
  [[nodiscard]] virtual AllocatorNeeds needs() const { return {}; }
  [[nodiscard]] virtual KeptBy kept_by() const { return KeptBy::kScore; }

  // Spends B * L * K + extra tokens to the token, within floor and ceiling, no head above the
  // context length: what a head cannot use goes to the others by the allocator's own rule. Less is
  // spent only where the context holds no more, or pages and ranks leave a remainder, and the lint
  // says how much. InputError for nonsense: a budget below 1, bounds that leave no room, a missing
  // or senseless measurement.
  [[nodiscard]] virtual Allocation allocate(const AllocatorInput& input) const;

 protected:
  // Smallest and largest budget of the method itself, in tokens. The floor gives way to half the
  // budget where it exceeds the budget.
  [[nodiscard]] virtual int64_t own_floor(const AllocatorInput& input) const;
  [[nodiscard]] virtual int64_t own_ceiling(const AllocatorInput& input) const;
  // InputError where a measurement is missing or senseless.
  virtual void check(const AllocatorInput& input) const;
  // Pages of every KV head of the rank, [num_layers * num_kv_heads]; their sum is problem.total.
  [[nodiscard]] virtual std::vector<int64_t> share_out(const ShareProblem& problem) const = 0;
  // What the plan should say beside the lint.
  virtual void add_notes(const AllocatorInput& input, Allocation& allocation) const;
};

// Names accepted by make_allocator, in the order shown to users.
[[nodiscard]] std::vector<std::string> allocator_names();

// InputError for an unknown name, listing the known ones.
[[nodiscard]] std::unique_ptr<Allocator> make_allocator(const std::string& name);

}  // namespace headscope::analysis
