#include "profiler/peak_memory.h"

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <algorithm>
#include <atomic>

namespace headscope::profiler {
namespace {

// What LibTorch's allocators tell of every block while it is set up as the thread's profiler.
class Meter final : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void* /*block*/,
                         int64_t bytes,  // negative: given back
                         size_t /*total_allocated*/,
                         size_t /*total_reserved*/,
                         c10::Device /*device*/) override {
    const int64_t now = held_.fetch_add(bytes) + bytes;
    int64_t before = peak_.load();
    while (now > before && !peak_.compare_exchange_weak(before, now)) {
    }
  }
  [[nodiscard]] bool memoryProfilingEnabled() const override { return true; }
  [[nodiscard]] int64_t peak() const { return peak_.load(); }

 private:
  std::atomic<int64_t> held_ = 0;
  std::atomic<int64_t> peak_ = 0;
};

}  // namespace

struct PeakMemory::State {
  std::shared_ptr<Meter> meter = std::make_shared<Meter>();
  c10::DebugInfoGuard guard{c10::DebugInfoKind::PROFILER_STATE, meter};
};

PeakMemory::PeakMemory() : state_(std::make_unique<State>()) {}
PeakMemory::~PeakMemory() = default;

int64_t PeakMemory::bytes() const {
  return state_->meter->peak();
}

}  // namespace headscope::profiler
