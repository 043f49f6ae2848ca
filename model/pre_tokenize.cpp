#include "model/pre_tokenize.h"

#include <map>
#include <utility>

namespace headscope::model {
namespace {

struct Part {
  TextRange range;
  bool is_match;
};

// Matches and the gaps between them, covering the text.
std::vector<Part> parts_of(std::string_view text, const Pattern& pattern, bool invert) {
  std::vector<Part> parts;
  size_t begin = 0;
  for (const TextRange& match : pattern.find_all(text)) {
    if (match.begin > begin) parts.push_back({{begin, match.begin}, invert});
    parts.push_back({match, !invert});
    begin = match.end;
  }
  if (begin < text.size()) parts.push_back({{begin, text.size()}, invert});
  return parts;
}

// Joins a delimiter to the piece before it; delimiters in a row stay apart from
// each other.
std::vector<TextRange> merge_with_previous(const std::vector<Part>& parts) {
  std::vector<TextRange> pieces;
  bool previous_match = false;
  for (const Part& part : parts) {
    if (part.is_match && !previous_match && !pieces.empty()) {
      pieces.back().end = part.range.end;
    } else {
      pieces.push_back(part.range);
    }
    previous_match = part.is_match;
  }
  return pieces;
}

std::vector<TextRange> merge_with_next(const std::vector<Part>& parts) {
  std::vector<TextRange> reversed;
  bool next_match = false;
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    if (part->is_match && !next_match && !reversed.empty()) {
      reversed.back().begin = part->range.begin;
    } else {
      reversed.push_back(part->range);
    }
    next_match = part->is_match;
  }
  return {reversed.rbegin(), reversed.rend()};
}

std::vector<TextRange> pieces_of(const std::vector<Part>& parts, SplitBehavior behavior) {
  if (behavior == SplitBehavior::kMergedWithPrevious) return merge_with_previous(parts);
  if (behavior == SplitBehavior::kMergedWithNext) return merge_with_next(parts);
  std::vector<TextRange> pieces;
  bool previous_match = false;
  for (const Part& part : parts) {
    const bool joins = behavior == SplitBehavior::kContiguous && !pieces.empty() &&
                       part.is_match == previous_match;
    if (joins) {
      pieces.back().end = part.range.end;
    } else if (behavior != SplitBehavior::kRemoved || !part.is_match) {
      pieces.push_back(part.range);
    }
    previous_match = part.is_match;
  }
  return pieces;
}

std::string_view view_of(const Section& section, TextRange piece) {
  return std::string_view(section.aligned.text).substr(piece.begin, piece.end - piece.begin);
}

void split_pieces(Section& section, const Pattern& pattern, SplitBehavior behavior, bool invert) {
  std::vector<TextRange> pieces;
  pieces.reserve(section.pieces.size());
  for (const TextRange& piece : section.pieces) {
    const auto parts = parts_of(view_of(section, piece), pattern, invert);
    for (const TextRange& part : pieces_of(parts, behavior)) {
      pieces.push_back({piece.begin + part.begin, piece.begin + part.end});
    }
  }
  section.pieces = std::move(pieces);
}

// Rebuilds the text piece by piece; what lies between pieces is dropped.
template <class AppendPiece>
void rewrite_pieces(Section& section, AppendPiece append_piece) {
  AlignedText out;
  out.text.reserve(section.aligned.text.size());
  out.origin.reserve(section.aligned.text.size());
  for (TextRange& piece : section.pieces) {
    const size_t begin = out.text.size();
    append_piece(piece, out);
    piece = {begin, out.text.size()};
  }
  section.aligned = std::move(out);
}

// Bytes that print as themselves keep their code point, the others get 256,
// 257, … in order.
std::array<char32_t, 256> byte_code_points() {
  std::array<char32_t, 256> code_points{};
  char32_t next = 256;
  for (size_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
    code_points[byte] = printable ? static_cast<char32_t>(byte) : next++;
  }
  return code_points;
}

void prepend_to_pieces(Section& section,
                       std::string_view prefix,
                       const std::function<bool(TextRange)>& wanted) {
  rewrite_pieces(section, [&](TextRange piece, AlignedText& out) {
    if (wanted(piece)) out.append(prefix, section.aligned.origin[piece.begin]);
    out.append(section.aligned, piece);
  });
}

}  // namespace

Section make_section(AlignedText text) {
  Section section{std::move(text), {}};
  if (!section.aligned.text.empty()) section.pieces = {{0, section.aligned.text.size()}};
  return section;
}

PreTokenizeStep split_step(Pattern pattern, SplitBehavior behavior, bool invert) {
  return [pattern = std::move(pattern), behavior, invert](Section& section) {
    split_pieces(section, pattern, behavior, invert);
  };
}

PreTokenizeStep metaspace_step(std::string replacement, PrependScheme scheme, bool split) {
  return [replacement = std::move(replacement), scheme, split](Section& section) {
    rewrite_pieces(section, [&](TextRange piece, AlignedText& out) {
      const AlignedText& in = section.aligned;
      const std::string_view text = view_of(section, piece);
      const bool starts_with_blank = text.front() == ' ' || text.starts_with(replacement);
      const bool here = scheme == PrependScheme::kAlways ||
                        (scheme == PrependScheme::kFirst && in.origin[piece.begin].begin == 0);
      if (here && !starts_with_blank) out.append(replacement, in.origin[piece.begin]);
      for (size_t i = piece.begin; i < piece.end; ++i) {
        if (in.text[i] == ' ') {
          out.append(replacement, in.origin[i]);
        } else {
          out.append(in, {i, i + 1});
        }
      }
    });
    if (split) {
      split_pieces(section, Pattern::literal(replacement), SplitBehavior::kMergedWithNext,
                   /*invert=*/false);
    }
  };
}

PreTokenizeStep byte_level_step(bool add_prefix_space, bool use_regex) {
  return [add_prefix_space, use_regex, pattern = gpt2_pattern()](Section& section) {
    if (add_prefix_space) {
      prepend_to_pieces(section, " ",
                        [&](TextRange piece) { return section.aligned.text[piece.begin] != ' '; });
    }
    if (use_regex)
      split_pieces(section, pattern, SplitBehavior::kIsolated,
                   /*invert=*/false);
    rewrite_pieces(section, [&](TextRange piece, AlignedText& out) {
      for (size_t i = piece.begin; i < piece.end; ++i) {
        out.append(byte_characters()[static_cast<uint8_t>(section.aligned.text[i])],
                   section.aligned.origin[i]);
      }
    });
  };
}

PreTokenizeStep cut_before_step(std::string word_start) {
  return [word_start = std::move(word_start)](Section& section) {
    std::vector<TextRange> pieces;
    for (const TextRange& piece : section.pieces) {
      const std::string_view text = view_of(section, piece);
      size_t begin = 0;
      size_t run_end = 0;  // behind the last word_start seen
      for (size_t at = text.find(word_start); at != std::string_view::npos;
           at = text.find(word_start, run_end)) {
        if (at > begin && at != run_end) {
          pieces.push_back({piece.begin + begin, piece.begin + at});
          begin = at;
        }
        run_end = at + word_start.size();
      }
      pieces.push_back({piece.begin + begin, piece.end});
    }
    section.pieces = std::move(pieces);
  };
}

Pattern gpt2_pattern() {
  // Radford et al. 2019, "Language Models are Unsupervised Multitask Learners".
  return Pattern::regex(
      "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| "
      "?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
      "GPT-2 pre-tokenizer");
}

const std::array<std::string, 256>& byte_characters() {
  static const std::array<std::string, 256> characters = [] {
    const auto code_points = byte_code_points();
    std::array<std::string, 256> made;
    for (size_t byte = 0; byte < 256; ++byte) append_utf8(code_points[byte], made[byte]);
    return made;
  }();
  return characters;
}

std::optional<char> byte_of_character(char32_t code_point) {
  static const std::map<char32_t, char> bytes = [] {
    const auto code_points = byte_code_points();
    std::map<char32_t, char> made;
    for (size_t byte = 0; byte < 256; ++byte) made[code_points[byte]] = static_cast<char>(byte);
    return made;
  }();
  const auto found = bytes.find(code_point);
  if (found == bytes.end()) return std::nullopt;
  return found->second;
}

}  // namespace headscope::model
