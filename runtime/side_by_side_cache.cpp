#include "runtime/side_by_side_cache.h"

#include <ATen/ATen.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace headscope::runtime {

SideBySideCache::SideBySideCache(std::vector<KvCache*> sequences)
    : sequences_(std::move(sequences)) {
  if (sequences_.empty()) {
    throw std::invalid_argument("SideBySideCache: expected at least one cache, found none");
  }
  for (const KvCache* sequence : sequences_) {
    if (sequence->next_position() != next_position() || !sequence->padding().empty()) {
      throw std::invalid_argument("SideBySideCache: expected caches at position " +
                                  std::to_string(next_position()) + " without padding, found " +
                                  std::to_string(sequence->next_position()) +
                                  (sequence->padding().empty() ? "" : " with padding"));
    }
  }
}

LayerAttention SideBySideCache::attend(const LayerStep& step) {
  if (step.q.size(0) != static_cast<int64_t>(sequences_.size())) {
    throw std::invalid_argument("SideBySideCache: expected " + std::to_string(sequences_.size()) +
                                " sequences, found " + std::to_string(step.q.size(0)));
  }
  std::vector<at::Tensor> z, lse;
  for (size_t b = 0; b < sequences_.size(); ++b) {
    const auto row = [&](const at::Tensor& t) { return t.narrow(0, static_cast<int64_t>(b), 1); };
    LayerStep own = step;
    own.q = row(step.q);
    own.k = row(step.k);
    own.v = row(step.v);
    LayerAttention attention = sequences_[b]->attend(own);
    z.push_back(std::move(attention.z));
    lse.push_back(std::move(attention.lse));
  }
  return {at::cat(z), at::cat(lse)};
}

int64_t SideBySideCache::next_position() const {
  return sequences_.front()->next_position();
}

int64_t SideBySideCache::bytes_held() const {
  int64_t bytes = 0;
  for (const KvCache* sequence : sequences_) bytes += sequence->bytes_held();
  return bytes;
}

}  // namespace headscope::runtime
