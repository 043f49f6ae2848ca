// Prints, a line each, the prompt ids of a LongBench file: MODEL FILE MOST_TOKENS, raw prompts.
#include <cstdio>
#include <cstdlib>

#include "model/model.h"
#include "profiler/task_files/task_file.h"

int main(int, char** argv) {
  const auto source = headscope::model::open_model_source(argv[1]);
  const auto tokenizer = source->open_tokenizer();
  headscope::profiler::TaskFileRequest request;
  request.path = argv[2];
  request.max_prompt_tokens = std::atoll(argv[3]);
  request.prompt_format = headscope::profiler::FormatChoice::kRaw;
  for (const auto& sample :
       headscope::profiler::read_task_file(request, *tokenizer, source->chat_template())) {
    for (const int64_t id : sample.prompt) std::printf("%lld ", static_cast<long long>(id));
    std::printf("\n");
  }
  return 0;
}
