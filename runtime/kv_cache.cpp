#include "runtime/kv_cache.h"

#include <stdexcept>

namespace headscope::runtime {

void KvCache::expect_padding(std::vector<int64_t> padding) {
  if (!padding.empty()) {
    throw std::logic_error("KvCache: this cache takes sequences of one length only");
  }
}

}  // namespace headscope::runtime
