// What `headscope profile` and `calibrate` measured of a model: a value, immutable once written.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "outputs/head_matrix.h"
#include "outputs/model_shape.h"
#include "outputs/provenance.h"

namespace headscope {

// Half-open range of token positions in a prompt.
struct TokenSpan {
  int64_t begin = 0;
  int64_t end = 0;
  [[nodiscard]] int64_t size() const { return end - begin; }
  bool operator==(const TokenSpan&) const = default;
};

// One probe, after it ran.
struct ProbeRecord {
  int64_t id = 0;
  std::string family;           // "needle", or the `family` field of a needle file
  std::string needle_id;        // probes of one needle share it (bootstrap clusters)
  std::string prompt_format;    // "chat:chatml", "raw"
  int64_t context_length = 0;   // tokens of the whole prompt, question and template included
  double asked_depth = 0.0;     // 0..1
  double achieved_depth = 0.0;  // first token of the needle / (tokens of haystack and needle), 0..1
  // In the final prompt, ascending and disjoint: the statements that the answer is made from (one
  // for a needle, several where several must be found), and the answer's own tokens inside them.
  // Both empty where nothing is to be found (repeated random tokens).
  std::vector<TokenSpan> needle_spans;
  std::vector<TokenSpan> answer_spans;
  std::string answer;       // what counts as right
  std::string response;     // what the model said
  bool success = false;     // passed the gate; only then do its samples count
  double gate_value = 0.0;  // ROUGE-1 recall of the answer in the response, 0..1
  std::string prompt_hash;  // SHA-256 of the prompt's ids
};

// samples [num_probes, num_layers, num_query_heads]; NaN where the probe did not count (failed
// gate, or a sliding-window layer that cannot see the span).
struct ScoreTable {
  std::vector<float> samples;
  // Over the probes that counted: the mean over families of the mean in each
  // (analysis/probe_samples.h). [num_layers, num_query_heads]
  HeadMatrix mean;
};

// Relative eviction error as a function of the tokens kept per KV head, measured with one selector
// (profiler/calibrate_run.h has the formula). What is "empty" below was not stored by older files.
struct ErrorCurves {
  std::vector<int64_t> budgets;  // ascending, tokens per KV head, observation window included
  std::vector<std::string> tasks;
  std::vector<double> task_weights;  // [num_tasks], > 0, sums to 1: the task mix; empty = equal
  std::vector<float> samples;        // [num_tasks, num_layers, num_budgets], mean over answer steps
  std::vector<float> samples_summed;  // same shape, summed over answer steps (as CompressKV's code)
  std::vector<float> layer;           // [num_layers, num_budgets], mean of `samples` by task weight
  std::vector<float> kv_head;         // [num_layers, num_kv_heads, num_budgets], likewise
  std::vector<float> kv_head_squared;  // as kv_head, of the squared errors; empty = not stored

  // Every prompt by itself, for intervals: both empty where not stored.
  std::vector<int64_t> prompt_task;  // [num_prompts], index into tasks
  std::vector<float> prompt_layer;   // [num_prompts, num_layers, num_budgets], mean over steps

  // What evicting one layer alone does to the answer: KL divergence of the logits (nats, mean over
  // answer tokens) with that layer at a budget of `kl_budgets` and every other one full. Empty = not
  // measured.
  std::vector<int64_t> kl_budgets;  // ascending, each one of `budgets`
  std::vector<float> prompt_kl;     // [num_prompts, num_layers, num_kl_budgets], >= 0
};

// Probes whose needle was left out: the same question over the same filler, the spans those of the
// sentence that stands in the needle's place. They show what a model answers from its prior, and
// what a head's mass is where nothing is to be found. Their samples count every answer step, and
// are no part of any mean in HeadProfile::scores.
struct ControlTable {
  std::vector<ProbeRecord> probes;
  std::map<std::string, ScoreTable> scores;  // samples [num_controls, num_layers, num_query_heads]
};

struct HeadProfile {
  ModelIdentity model;
  Provenance provenance;
  std::vector<ProbeRecord> probes;
  std::map<std::string, ScoreTable> scores;         // by score name: "srh", "retrieval", …
  ControlTable controls;                            // may be empty
  std::map<std::string, ErrorCurves> error_curves;  // by selector: "srh4", …

  [[nodiscard]] int64_t num_successful() const;
};

}  // namespace headscope
