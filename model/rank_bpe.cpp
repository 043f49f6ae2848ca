#include "model/rank_bpe.h"

#include "model/byte_tokens.h"

namespace headscope::model {
namespace {

uint64_t pair_key(int64_t left, int64_t right) {
  return (static_cast<uint64_t>(left) << 32) | static_cast<uint64_t>(right);
}

}  // namespace

RankBpe::RankBpe(Vocabulary vocabulary, RankBpeOptions options)
    : vocabulary_(std::move(vocabulary)), options_(options) {
  if (options_.byte_fallback) byte_ids_ = byte_token_ids(vocabulary_);
}

void RankBpe::reserve_merges(size_t count) {
  merges_.reserve(count);
}

bool RankBpe::add_merge(std::string_view left, std::string_view right) {
  const auto left_id = vocabulary_.id_of(left);
  const auto right_id = vocabulary_.id_of(right);
  const auto merged_id = vocabulary_.id_of(std::string(left) + std::string(right));
  if (!left_id || !right_id || !merged_id) return false;
  merges_.insert_or_assign(pair_key(*left_id, *right_id), Merge{next_rank_++, *merged_id});
  return true;
}

bool RankBpe::add_bytes(std::string_view character,
                        size_t begin,
                        std::vector<MergeSymbol>& symbols) const {
  for (const char byte : character) {
    if (byte_ids_[static_cast<uint8_t>(byte)] < 0) return false;
  }
  for (size_t i = 0; i < character.size(); ++i) {
    MergeSymbol symbol;
    symbol.id = byte_ids_[static_cast<uint8_t>(character[i])];
    symbol.range = {begin + i, begin + i + 1};
    symbols.push_back(symbol);
  }
  return true;
}

std::vector<MergeSymbol> RankBpe::symbols_of(std::string_view piece) const {
  std::vector<MergeSymbol> symbols;
  symbols.reserve(piece.size());
  bool after_unknown = false;
  for (size_t position = 0; position < piece.size();) {
    const size_t begin = position;
    next_code_point(piece, position);
    const std::string_view character = piece.substr(begin, position - begin);
    MergeSymbol symbol;
    symbol.range = {begin, position};
    if (const auto id = vocabulary_.id_of(character)) {
      symbol.id = *id;
    } else if (options_.byte_fallback && add_bytes(character, begin, symbols)) {
      after_unknown = false;
      continue;
    } else if (!options_.unknown_id) {
      continue;
    } else if (after_unknown && options_.fuse_unknown) {
      symbols.back().range.end = position;
      continue;
    } else {
      symbol.id = *options_.unknown_id;
      symbols.push_back(symbol);
      after_unknown = true;
      continue;
    }
    symbols.push_back(symbol);
    after_unknown = false;
  }
  return symbols;
}

void RankBpe::encode(std::string_view piece, std::vector<Subword>& out) const {
  if (options_.ignore_merges) {
    if (const auto id = vocabulary_.id_of(piece)) {
      out.push_back({*id, {0, piece.size()}});
      return;
    }
  }
  std::vector<MergeSymbol> symbols = symbols_of(piece);
  merge_symbols<int64_t>(
      symbols,
      [&](const MergeSymbol& left, const MergeSymbol& right) -> std::optional<PairMerge<int64_t>> {
        const auto found = merges_.find(pair_key(left.id, right.id));
        if (found == merges_.end()) return std::nullopt;
        return PairMerge<int64_t>{found->second.rank, found->second.id};
      });
  for (const MergeSymbol& symbol : symbols) {
    if (!symbol.merged_away) out.push_back({symbol.id, symbol.range});
  }
}

}  // namespace headscope::model
