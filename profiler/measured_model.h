// A loaded model as the measuring loops see it: what runs it, what reads its tokens, what it is.
#pragma once

#include "model/decoder.h"
#include "model/tokenizer.h"
#include "outputs/model_shape.h"

namespace headscope::profiler {

// References are not owned and outlive the run.
struct MeasuredModel {
  const model::Decoder& decoder;
  const model::Tokenizer& tokenizer;
  const ModelIdentity& identity;
};

}  // namespace headscope::profiler
