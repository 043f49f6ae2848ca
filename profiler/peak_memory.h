// The most memory that tensors held at once, counted by LibTorch's own allocators.
#pragma once

#include <cstdint>
#include <memory>

namespace headscope::profiler {

// Counts what this thread, and those that share its work, allocate and free from here on, on all
// devices together. Not to be nested, nor used beside LibTorch's profiler.
class PeakMemory {
 public:
  PeakMemory();
  ~PeakMemory();
  PeakMemory(const PeakMemory&) = delete;
  PeakMemory& operator=(const PeakMemory&) = delete;

  // Bytes beyond what was held at the start, at the worst moment so far; >= 0.
  [[nodiscard]] int64_t bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace headscope::profiler
