# Dequantisation of every block type, and the real model's tensors, against the Python package gguf.
add_executable(gguf_dump gguf_dump.cpp)
target_link_libraries(gguf_dump PRIVATE headscope_model)
target_precompile_headers(gguf_dump REUSE_FROM headscope_kernels)

set(_gguf_python "${HEADSCOPE_PYTHON}")
if(NOT _gguf_python)
  set(_gguf_python "$ENV{HEADSCOPE_PYTHON}")
endif()
if(NOT _gguf_python)
  set(_gguf_python "${Python3_EXECUTABLE}")
endif()
if(_gguf_python)
  add_test(NAME "parity: GGUF blocks are dequantised as the gguf package does it"
    COMMAND ${_gguf_python} ${CMAKE_CURRENT_SOURCE_DIR}/gguf_parity.py
      --program $<TARGET_FILE:gguf_dump>
      --gguf ${PROJECT_SOURCE_DIR}/examples/models/SmolLM2-135M-Instruct.Q4_1.gguf)
  set_tests_properties("parity: GGUF blocks are dequantised as the gguf package does it" PROPERTIES
    SKIP_REGULAR_EXPRESSION "SKIPPED: " TIMEOUT 300)
endif()
