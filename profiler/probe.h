// One question put to a model: a prompt whose answer stands at known token positions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "outputs/head_profile.h"

namespace headscope::profiler {

struct Needle {
  std::string id;
  std::string statement;  // `needle` in a needle file
  std::string question;
  std::string real_needle;    // the answer as it stands in the statement
  std::string answer_prefix;  // given to the model as the start of its answer; may be empty
  std::string answer;         // what counts as right; real_needle unless said otherwise
  std::string family = "needle";
  std::string subject;  // what it is about; empty = the statement itself
};

struct Probe {
  int64_t id = 0;
  std::string family;
  std::string needle_id;
  std::string prompt_format;    // "chat:chatml", "raw"
  std::vector<int64_t> prompt;  // token ids, template included
  std::vector<int64_t> gold;    // the gold answer's ids as the model would emit them (a draft)
  // In `prompt`, ascending and disjoint (outputs/head_profile.h). For a control probe, the sentence
  // in the needle's place.
  std::vector<TokenSpan> needle_spans;
  std::vector<TokenSpan> answer_spans;
  double asked_depth = 0.0;
  double achieved_depth = 0.0;
  std::string answer;         // what counts as right
  bool is_control = false;    // the needle was left out
  int64_t repeat_period = 0;  // > 0: random tokens that repeat after so many; no question
};

}  // namespace headscope::profiler
