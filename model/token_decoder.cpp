#include "model/token_decoder.h"

#include <utility>

#include "model/aligned_text.h"
#include "model/byte_tokens.h"
#include "model/pre_tokenize.h"

namespace headscope::model {
namespace {

// The bytes of a byte-level token; a token with any other character stands for
// itself.
std::string bytes_of_token(const std::string& token) {
  std::string bytes;
  for (size_t position = 0; position < token.size();) {
    const auto byte = byte_of_character(next_code_point(token, position));
    if (!byte) return token;
    bytes += *byte;
  }
  return bytes;
}

std::string replace_all(const std::string& text,
                        const Pattern& pattern,
                        const std::string& replacement) {
  std::string out;
  size_t begin = 0;
  for (const TextRange& match : pattern.find_all(text)) {
    out.append(text, begin, match.begin - begin);
    out += replacement;
    begin = match.end;
  }
  return out.append(text, begin);
}

}  // namespace

DecodeStep byte_level_decode_step() {
  return [](std::vector<std::string>& tokens) {
    std::string bytes;
    for (const std::string& token : tokens) bytes += bytes_of_token(token);
    tokens = {replace_ill_formed(bytes)};
  };
}

DecodeStep byte_fallback_decode_step() {
  return [](std::vector<std::string>& tokens) {
    std::vector<std::string> out;
    std::string bytes;
    const auto flush = [&] {
      if (bytes.empty()) return;
      if (replace_ill_formed(bytes) == bytes) {
        out.push_back(bytes);
      } else {  // one replacement character for every byte of a run that is not
                // UTF-8
        out.insert(out.end(), bytes.size(), "\xEF\xBF\xBD");
      }
      bytes.clear();
    };
    for (std::string& token : tokens) {
      if (const auto byte = byte_of_token(token)) {
        bytes += *byte;
      } else {
        flush();
        out.push_back(std::move(token));
      }
    }
    flush();
    tokens = std::move(out);
  };
}

DecodeStep fuse_decode_step() {
  return [](std::vector<std::string>& tokens) {
    std::string fused;
    for (const std::string& token : tokens) fused += token;
    tokens = {std::move(fused)};
  };
}

DecodeStep replace_decode_step(Pattern pattern, std::string replacement) {
  return [pattern = std::move(pattern),
          replacement = std::move(replacement)](std::vector<std::string>& tokens) {
    for (std::string& token : tokens) token = replace_all(token, pattern, replacement);
  };
}

DecodeStep strip_decode_step(std::string content, size_t left, size_t right) {
  return [content = std::move(content), left, right](std::vector<std::string>& tokens) {
    for (std::string& token : tokens) {
      for (size_t i = 0; i < left && token.starts_with(content); ++i) {
        token.erase(0, content.size());
      }
      for (size_t i = 0; i < right && token.ends_with(content); ++i) {
        token.erase(token.size() - content.size());
      }
    }
  };
}

DecodeStep metaspace_decode_step(std::string replacement, bool strip_first) {
  return [pattern = Pattern::literal(std::move(replacement)),
          strip_first](std::vector<std::string>& tokens) {
    for (size_t i = 0; i < tokens.size(); ++i) {
      tokens[i] = replace_all(tokens[i], pattern, i == 0 && strip_first ? "" : " ");
    }
  };
}

}  // namespace headscope::model
