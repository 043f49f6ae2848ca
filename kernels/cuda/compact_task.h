// What one launch of the compaction kernel is told.
#pragma once

#include <cstdint>

namespace headscope::kernels {

inline constexpr int kCompactThreads = 256;
inline constexpr int kCompactChunksPerThread = 8;
inline constexpr int kCompactTileChunks = kCompactThreads * kCompactChunksPerThread;

// Rows move in tiles of `tile_rows`, each row as `row_chunks` pieces of `chunk_bytes`.
struct CompactTask {
  const char* source;
  int64_t source_rows;
  int64_t source_stride;  // bytes
  char* target;           // the first row to write
  int64_t target_stride;  // bytes
  const int64_t* positions;
  int64_t count;
  int chunk_bytes;  // 16, 8, 4 or 2
  int row_chunks;
  int tile_rows;
  // Where target rows may lie on source rows (else null): output i then lies on source row i +
  // shift, and a tile is written only when the tiles that read those rows have done so.
  uint32_t* ticket;  // [1], zeroed: tiles are started in order
  uint32_t* read;    // [tiles], zeroed: 1 when the tile's rows were read
  int64_t shift;
};

}  // namespace headscope::kernels
