# Logits of randomly initialised models and of SmolLM2 against transformers; skipped where the
# Python packages are absent.
add_executable(decoder_logits decoder_logits.cpp)
target_link_libraries(decoder_logits PRIVATE headscope_model nlohmann_json::nlohmann_json)
target_precompile_headers(decoder_logits REUSE_FROM headscope_kernels)

set(_decoder_python "${HEADSCOPE_PYTHON}")
if(NOT _decoder_python)
  set(_decoder_python "$ENV{HEADSCOPE_PYTHON}")
endif()
if(NOT _decoder_python)
  set(_decoder_python "${Python3_EXECUTABLE}")
endif()
if(_decoder_python)
  add_test(NAME "parity: random models give transformers' logits"
    COMMAND ${_decoder_python} ${CMAKE_CURRENT_SOURCE_DIR}/decoder_parity.py
      --program $<TARGET_FILE:decoder_logits> random)
  add_test(NAME "parity: SmolLM2 gives transformers' logits and greedy text"
    COMMAND ${_decoder_python} ${CMAKE_CURRENT_SOURCE_DIR}/decoder_parity.py
      --program $<TARGET_FILE:decoder_logits> smollm2
      --gguf ${PROJECT_SOURCE_DIR}/examples/models/SmolLM2-135M-Instruct.Q4_1.gguf)
  set_tests_properties("parity: random models give transformers' logits"
    "parity: SmolLM2 gives transformers' logits and greedy text" PROPERTIES
    SKIP_REGULAR_EXPRESSION "SKIPPED: " TIMEOUT 600
    ENVIRONMENT "TQDM_DISABLE=1;HF_HUB_OFFLINE=1;TOKENIZERS_PARALLELISM=false")
endif()
