#include "model/score_bpe.h"

#include <algorithm>
#include <utility>

#include "model/bpe_merge.h"
#include "model/byte_tokens.h"

namespace headscope::model {

ScoreBpe::ScoreBpe(Vocabulary vocabulary,
                   std::vector<float> scores,
                   std::vector<bool> can_merge,
                   int64_t unknown_id)
    : vocabulary_(std::move(vocabulary)),
      scores_(std::move(scores)),
      can_merge_(std::move(can_merge)),
      unknown_id_(unknown_id),
      byte_ids_(byte_token_ids(vocabulary_)) {}

int64_t ScoreBpe::mergeable_id(std::string_view text) const {
  const auto id = vocabulary_.id_of(text);
  return id && can_merge_[static_cast<size_t>(*id)] ? *id : -1;
}

void ScoreBpe::add_unknown(std::string_view piece,
                           TextRange range,
                           std::vector<Subword>& out) const {
  const auto byte_id = [&](size_t i) { return byte_ids_[static_cast<uint8_t>(piece[i])]; };
  bool all_bytes = true;
  for (size_t i = range.begin; i < range.end; ++i) all_bytes = all_bytes && byte_id(i) >= 0;
  if (!all_bytes) {
    out.push_back({unknown_id_, range});
    return;
  }
  for (size_t i = range.begin; i < range.end; ++i) out.push_back({byte_id(i), {i, i + 1}});
}

void ScoreBpe::encode(std::string_view piece, std::vector<Subword>& out) const {
  std::vector<MergeSymbol> symbols;
  for (size_t position = 0; position < piece.size();) {
    MergeSymbol symbol;
    symbol.range.begin = position;
    next_code_point(piece, position);
    symbol.range.end = position;
    symbol.id =
        mergeable_id(piece.substr(symbol.range.begin, symbol.range.end - symbol.range.begin));
    symbols.push_back(symbol);
  }
  merge_symbols<float>(
      symbols,
      [&](const MergeSymbol& left, const MergeSymbol& right) -> std::optional<PairMerge<float>> {
        const int64_t id =
            mergeable_id(piece.substr(left.range.begin, right.range.end - left.range.begin));
        if (id < 0) return std::nullopt;
        return PairMerge<float>{-scores_[static_cast<size_t>(id)], id};
      });
  for (const MergeSymbol& symbol : symbols) {
    if (symbol.merged_away) continue;
    if (symbol.id >= 0) {
      out.push_back({symbol.id, symbol.range});
    } else {
      add_unknown(piece, symbol.range, out);
    }
  }
}

}  // namespace headscope::model
