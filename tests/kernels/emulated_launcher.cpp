#include "tests/kernels/emulated_launcher.h"

#include "tests/kernels/emulated_cuda.h"

// After the language that they are written in.
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/compact_kv.cuh"
#include "kernels/cuda/for_value_type.h"
#include "kernels/cuda/merge.cuh"
#include "kernels/cuda/select_retained.cuh"
#include "kernels/cuda/top_attended.cuh"
#include "kernels/cuda/window_importance.cuh"

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

unsigned blocks_for(int64_t work, int64_t of_one) {
  return static_cast<unsigned>((work + of_one - 1) / of_one);
}

size_t tile_bytes(int rows, const TileShape& shape, size_t number_bytes) {
  return static_cast<size_t>(rows * shape.stride) * number_bytes;
}

template <class T, int kTiles>
void attend(const AttentionTask& task, uint64_t seed) {
  const int block_rows = 16 * task.row_groups;
  const int rows = block_rows + task.tile_keys * (kTiles > 0 ? 2 : 1);
  const emulator::Grid grid{{static_cast<unsigned>(task.num_segments),
                             blocks_for(int64_t{task.group} * task.n, block_rows)},
                            kAttentionThreads,
                            tile_bytes(rows, task.shape, sizeof(T))};
  emulator::run(grid, seed, [&](char* shared) { attention_block<T, kTiles>(task, shared); });
}

template <class T>
void attend_any(const AttentionTask& task, uint64_t seed) {
  if (task.v.data == nullptr) return attend<T, 0>(task, seed);
  if (task.shape.depth <= 64) return attend<T, 8>(task, seed);
  if (task.shape.depth <= 128) return attend<T, 16>(task, seed);
  return attend<T, 32>(task, seed);
}

}  // namespace

void EmulatedLauncher::launch(const ImportanceTask& task) const {
  for_value_type(task.shape.type, [&](auto number) {
    using T = decltype(number);
    const int64_t keys = int64_t{task.tile_keys} * task.tiles_per_block;
    const emulator::Grid grid{
        {blocks_for(task.prefix, keys), static_cast<unsigned>(task.num_groups),
         static_cast<unsigned>(task.batch)},
        static_cast<unsigned>(task.tile_keys),
        tile_bytes(task.tile_keys + kImportancePassRows, task.shape, sizeof(T)) +
            kImportancePassRows * sizeof(float)};
    emulator::run(grid, next_seed(), [&](char* shared) { importance_block<T>(task, shared); });
  });
}

void EmulatedLauncher::launch(const PoolTask& task) const {
  const emulator::Grid grid{{blocks_for(task.rows * task.n, kPoolThreads)}, kPoolThreads};
  emulator::run(grid, next_seed(), [&](char*) { pool_block(task); });
}

void EmulatedLauncher::launch(const AttentionTask& task) const {
  for_value_type(task.shape.type,
                 [&](auto number) { attend_any<decltype(number)>(task, next_seed()); });
}

void EmulatedLauncher::launch(const MergeTask& task) const {
  for_value_type(task.type, [&](auto number) {
    const emulator::Grid grid{
        {static_cast<unsigned>(task.packed_rows), static_cast<unsigned>(task.kv_rows)},
        kMergeThreads};
    emulator::run(grid, next_seed(), [&](char*) { merge_block<decltype(number)>(task); });
  });
}

void EmulatedLauncher::launch(const MassTask& task) const {
  const int outputs = task.lse == nullptr ? 1 : task.num_spans;
  const int64_t numbers = int64_t{task.kv_rows} * task.packed_rows * outputs;
  const emulator::Grid grid{{blocks_for(numbers, kMassThreads)}, kMassThreads};
  emulator::run(grid, next_seed(), [&](char*) { mass_block(task); });
}

void EmulatedLauncher::launch(const LogitTask& task) const {
  for_value_type(task.shape.type, [&](auto number) {
    using T = decltype(number);
    const unsigned row_blocks = blocks_for(int64_t{task.group} * task.n, kLogitRows);
    const emulator::Grid grid{{blocks_for(task.num_keys, task.tile_keys),
                               static_cast<unsigned>(task.num_kv_heads) * row_blocks},
                              static_cast<unsigned>(task.tile_keys),
                              tile_bytes(task.tile_keys + kLogitRows, task.shape, sizeof(T))};
    emulator::run(grid, next_seed(), [&](char* shared) { logit_block<T>(task, shared); });
  });
}

void EmulatedLauncher::launch(const RankTask& task) const {
  const emulator::Grid grid{
      {static_cast<unsigned>(task.heads * task.n)}, kRankThreads, sizeof(RankShared)};
  emulator::run(grid, next_seed(), [&](char* shared) { rank_block(task, as<RankShared>(shared)); });
}

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
