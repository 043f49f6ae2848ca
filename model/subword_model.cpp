#include "model/subword_model.h"

#include <stdexcept>

namespace headscope::model {

void Vocabulary::add(const std::string& token, int64_t id) {
  if (id < 0 || id >= kMaxTokens) throw std::invalid_argument("Vocabulary::add: id out of range");
  const auto entry = ids_.insert_or_assign(token, id).first;
  if (id >= size()) by_id_.resize(static_cast<size_t>(id) + 1, nullptr);
  by_id_[static_cast<size_t>(id)] = &entry->first;
}

void Vocabulary::reserve(size_t count) {
  ids_.reserve(count);
  by_id_.reserve(count);
}

std::optional<int64_t> Vocabulary::id_of(std::string_view token) const {
  const auto found = ids_.find(token);
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

const std::string* Vocabulary::token_of(int64_t id) const {
  return id >= 0 && id < size() ? by_id_[static_cast<size_t>(id)] : nullptr;
}

}  // namespace headscope::model
