// The formats of task files, one reader each; task_file.h is their door.
#pragma once

#include <string>
#include <vector>

#include "outputs/json_fields.h"
#include "profiler/task_files/task_file.h"

namespace headscope::profiler {

// A prompt that is the user's turn of a chat, or raw text, with an optional start of the answer.
// `question` is the end of the text that asks (whitespace at its end aside): where it is found,
// what stands before it becomes context_tokens.
void set_prompt(const PromptWriter& writer,
                const std::string& text,
                const std::string& question,
                const std::string& answer_prefix,
                TaskSample& sample);

// What a prompt of at most so many new tokens may have: as asked, or what the model leaves.
// InputError where that is nothing.
[[nodiscard]] int64_t most_prompt_tokens(const TaskFileRequest& request, int64_t max_new_tokens);

// The metric that a line asks for in its field `metric` (task.h), else `usual`. InputError for an
// unknown one, and for classification, which needs classes.
[[nodiscard]] Metric metric_or(const outputs::JsonField& record, Metric usual);

// LongBench v1 (arXiv 2308.14508): `dataset`, `context`, `input`, `answers`, `all_classes`.
// Prompts, truncation and grading as its pred.py and eval.py have them; chat templates are the
// checkpoint's own, and as there stay off for trec, triviaqa, samsum, lsht, lcc and repobench-p
// unless chat was asked for. samsum's answer ends at its first line. Sets that are graded by F1 or
// ROUGE-L of Chinese words (multifieldqa_zh, dureader, vcsum) are refused: see longbench_metrics.h.
[[nodiscard]] std::vector<TaskSample> read_longbench(const std::string& text,
                                                     const TaskFileRequest& request,
                                                     const model::Tokenizer& tokenizer,
                                                     const model::ChatTemplate& chat);

// RULER (arXiv 2404.06654): `input`, `outputs`, optional `answer_prefix`, and `task` and
// `max_new_tokens` as others add them. The task is else the file's name, or its folder's where the
// file is validation.jsonl or test.jsonl. Prompts are raw text, since a file's input holds what its
// own preparation put there; where `answer_prefix` is a field of its own the checkpoint's chat
// template is used. The question is the input's last line. Tasks that begin with "qa" want one of
// the outputs (string_match_part), others all of them, unless a line says otherwise (`metric`).
[[nodiscard]] std::vector<TaskSample> read_ruler(const std::string& text,
                                                 const TaskFileRequest& request,
                                                 const model::Tokenizer& tokenizer,
                                                 const model::ChatTemplate& chat);

// Cells of a needle-in-a-haystack grid: `needle`, `question` (or `retrieval_question`), optional
// `real_needle` (what is graded; else the whole needle), `answer_prefix`, `answer`, `family`, and
// `context_length` (tokens) and `depth_percent` (0..100); a line without these is asked at every
// length and depth of the request. Graded by ROUGE-1 recall, or as the line says (`metric`).
[[nodiscard]] std::vector<TaskSample> read_niah(const std::string& text,
                                                const TaskFileRequest& request,
                                                const model::Tokenizer& tokenizer,
                                                const model::ChatTemplate& chat);

}  // namespace headscope::profiler
