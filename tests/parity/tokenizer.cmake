# Tokenizers against the Python package `tokenizers`, chat rendering against Jinja; skipped where
# the packages or the test data are absent.
add_executable(tokenize_lines tokenize_lines.cpp)
add_executable(render_chats render_chats.cpp)
foreach(program tokenize_lines render_chats)
  target_link_libraries(${program} PRIVATE headscope_model nlohmann_json::nlohmann_json)
endforeach()

set(_tokenizer_python "${HEADSCOPE_PYTHON}")
if(NOT _tokenizer_python)
  set(_tokenizer_python "$ENV{HEADSCOPE_PYTHON}")
endif()
if(NOT _tokenizer_python)
  set(_tokenizer_python "${Python3_EXECUTABLE}")
endif()
set(_tokenizer_shared "$ENV{HEADSCOPE_SHARED}")
if(NOT _tokenizer_shared)
  set(_tokenizer_shared ${PROJECT_SOURCE_DIR}/../shared/data)
endif()
if(_tokenizer_python)
  add_test(NAME "parity: ids, spans and decoding equal the tokenizers package"
    COMMAND ${_tokenizer_python} ${CMAKE_CURRENT_SOURCE_DIR}/tokenizer_parity.py
      $<TARGET_FILE:tokenize_lines> ${_tokenizer_shared}/tokenizers)
  add_test(NAME "parity: chats are rendered as Jinja renders their templates"
    COMMAND ${_tokenizer_python} ${CMAKE_CURRENT_SOURCE_DIR}/chat_parity.py
      $<TARGET_FILE:render_chats> ${_tokenizer_shared}
      ${PROJECT_SOURCE_DIR}/examples/models/SmolLM2-135M-Instruct.Q4_1.gguf)
  set_tests_properties("parity: ids, spans and decoding equal the tokenizers package"
    "parity: chats are rendered as Jinja renders their templates" PROPERTIES
    SKIP_REGULAR_EXPRESSION "SKIPPED: " TIMEOUT 600
    ENVIRONMENT "TOKENIZERS_PARALLELISM=false")
endif()
