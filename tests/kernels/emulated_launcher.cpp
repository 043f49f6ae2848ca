#include "tests/kernels/emulated_launcher.h"

#include "tests/kernels/emulated_cuda.h"

// After the language that they are written in.
#include "kernels/cuda/compact_kv.cuh"
#include "kernels/cuda/select_retained.cuh"

namespace headscope::kernels {
namespace {

template <class Shared>
Shared& as(char* shared) {
  return *reinterpret_cast<Shared*>(shared);
}

template <class Chunk>
void compact(const emulator::Grid& grid, uint64_t seed, const CompactTask& task) {
  emulator::run(grid, seed,
                [&](char* shared) { compact_block<Chunk>(task, as<CompactShared>(shared)); });
}

}  // namespace

void EmulatedLauncher::launch(const SelectTask& task) const {
  const auto blocks = static_cast<unsigned>(task.rows * task.blocks_per_row);
  emulator::Grid grid{{blocks}, kSelectThreads, sizeof(SelectShared)};
  if (task.blocks_per_row > 1) grid.resident = blocks;
  emulator::run(grid, next_seed(),
                [&](char* shared) { select_block(task, as<SelectShared>(shared)); });
}

void EmulatedLauncher::launch(const CompactTask& task) const {
  const auto tiles = static_cast<unsigned>((task.count + task.tile_rows - 1) / task.tile_rows);
  const emulator::Grid grid{{tiles}, kCompactThreads, sizeof(CompactShared)};
  switch (task.chunk_bytes) {
    case 16:
      return compact<uint4>(grid, next_seed(), task);
    case 8:
      return compact<uint2>(grid, next_seed(), task);
    case 4:
      return compact<uint32_t>(grid, next_seed(), task);
    default:
      return compact<uint16_t>(grid, next_seed(), task);
  }
}

}  // namespace headscope::kernels
