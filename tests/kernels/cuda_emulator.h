// Runs a CUDA kernel's body on the CPU, thread by thread: each thread of a block is a fiber that
// runs until it must wait for others. Within a block and among the resident blocks the order is
// random and now and then a block falls behind, so a forgotten barrier shows as a wrong result;
// lanes that meet at different instructions, and waits that cannot end, are errors
// (std::logic_error).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace headscope::emulator {

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
};

struct Grid {
  Dim3 blocks;
  unsigned threads = 32;    // of a block; a multiple of 32
  size_t shared_bytes = 0;  // of a block
  unsigned resident = 3;    // blocks that run at the same time
};

// Runs `body(shared)` for every thread of the grid. Shared memory starts as garbage.
void run(const Grid& grid, uint64_t seed, const std::function<void(char* shared)>& body);

// ---- called from a body
// --------------------------------------------------------------------------

const Dim3& thread_index();
const Dim3& block_index();
const Dim3& block_size();
const Dim3& grid_size();

void block_barrier();
// Lets other threads run, for loops that wait for another block.
void yield_to_others();

// What each lane of a warp shows the others at one instruction.
using LaneValue = std::array<std::byte, 32>;
using WarpValues = std::array<LaneValue, 32>;
// Waits for all lanes of the warp; `instruction` is its name, the same in every lane. The result is
// valid until the lane's next exchange.
const WarpValues& exchange(const char* instruction, const LaneValue& mine);

}  // namespace headscope::emulator
