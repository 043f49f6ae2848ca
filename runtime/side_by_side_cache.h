// Caches of single sequences as one batch: the model's weights are read once for all of them. Each
// cache stores and attends by itself, so that they may differ in method and size.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/kv_cache.h"

namespace headscope::runtime {

class SideBySideCache final : public KvCache {
 public:
  // At least one; not owned. All stand at the same next_position() and hold one sequence without
  // padding; else std::invalid_argument.
  explicit SideBySideCache(std::vector<KvCache*> sequences);

  // Shapes as in kv_cache.h, B = how many there are; std::invalid_argument for another B.
  LayerAttention attend(const LayerStep& step) override;
  [[nodiscard]] int64_t next_position() const override;
  [[nodiscard]] int64_t bytes_held() const override;  // of all

 private:
  std::vector<KvCache*> sequences_;
};

}  // namespace headscope::runtime
