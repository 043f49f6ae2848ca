#include "tests/kernels/cuda_emulator.h"

#include <ucontext.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace headscope::emulator {
namespace {

constexpr size_t kStackBytes = size_t{1} << 17;
constexpr unsigned kLanes = 32;

// Counts who came; when all have, `generation` moves on and the waiting may run.
struct Meeting {
  unsigned arrived = 0;
  uint64_t generation = 0;
};

struct Warp {
  Meeting meeting;
  WarpValues values[2];
  const char* instruction[2] = {nullptr, nullptr};
};

struct Block {
  Dim3 index;
  Meeting barrier;
  std::vector<Warp> warps;
  std::vector<char> shared;
  unsigned running = 0;
  unsigned asleep = 0;  // rounds that the block is still held back
};

struct Fiber {
  ucontext_t context{};
  std::unique_ptr<char[]> stack;
  Block* block = nullptr;
  Dim3 index;
  const uint64_t* watched = nullptr;  // may run when this has left `seen`
  uint64_t seen = 0;
  unsigned exchanges = 0;
  bool spins = false;
  bool done = false;
};

// One launch. Fibers and their stacks are kept between launches.
struct Machine {
  Grid grid;
  const std::function<void(char*)>* body = nullptr;
  ucontext_t scheduler{};
  Fiber* current = nullptr;
  std::exception_ptr failure;
  std::vector<std::unique_ptr<Fiber>> fibers;
};

Machine& machine() {
  static Machine instance;
  return instance;
}

void switch_to_scheduler() {
  Machine& m = machine();
  swapcontext(&m.current->context, &m.scheduler);
}

void wait_for(const Meeting& meeting, uint64_t generation) {
  Fiber& fiber = *machine().current;
  fiber.watched = &meeting.generation;
  fiber.seen = generation;
  switch_to_scheduler();
}

void fiber_main() {
  Machine& m = machine();
  Fiber& fiber = *m.current;
  try {
    (*m.body)(fiber.block->shared.data());
  } catch (...) {
    m.failure = std::current_exception();
  }
  fiber.done = true;
  --fiber.block->running;
  switch_to_scheduler();
}

void start(Fiber& fiber, Block& block, unsigned thread) {
  if (!fiber.stack) fiber.stack.reset(new char[kStackBytes]);
  fiber.block = &block;
  fiber.index = {thread, 0, 0};
  fiber.watched = nullptr;
  fiber.exchanges = 0;
  fiber.spins = fiber.done = false;
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.uc_stack.ss_size = kStackBytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, fiber_main, 0);
}

Dim3 block_at(const Dim3& blocks, uint64_t number) {
  return {static_cast<unsigned>(number % blocks.x),
          static_cast<unsigned>(number / blocks.x % blocks.y),
          static_cast<unsigned>(number / blocks.x / blocks.y)};
}

void open_block(Block& block, const Dim3& index, std::mt19937_64& random) {
  const Grid& grid = machine().grid;
  block.index = index;
  block.barrier = {};
  block.warps.assign(grid.threads / kLanes, Warp{});
  block.shared.resize(grid.shared_bytes);
  for (char& byte : block.shared) byte = static_cast<char>(random());
  block.running = grid.threads;
  block.asleep = 0;
}

// Now and then one of several blocks falls behind the others. True where one is held back.
bool hold_back(std::vector<Block>& blocks, std::mt19937_64& random) {
  bool any = false;
  for (Block& block : blocks) {
    if (block.asleep > 0) {
      --block.asleep;
    } else if (blocks.size() > 1 && random() % 16 == 0) {
      block.asleep = static_cast<unsigned>(random() % 32);
    }
    any = any || block.asleep > 0;
  }
  return any;
}

}  // namespace

void run(const Grid& grid, uint64_t seed, const std::function<void(char* shared)>& body) {
  Machine& m = machine();
  m.grid = grid;
  m.body = &body;
  m.failure = nullptr;
  const uint64_t total = uint64_t{grid.blocks.x} * grid.blocks.y * grid.blocks.z;
  const auto resident = static_cast<size_t>(std::min<uint64_t>(total, grid.resident));
  while (m.fibers.size() < resident * grid.threads) m.fibers.push_back(std::make_unique<Fiber>());
  std::mt19937_64 random(seed);
  std::vector<Block> blocks(resident);
  std::vector<size_t> order(resident * grid.threads);
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  uint64_t next = 0, finished = 0;
  unsigned idle_rounds = 0;
  while (finished < total) {
    for (size_t b = 0; b < resident; ++b) {
      if (blocks[b].running > 0 || next == total) continue;
      open_block(blocks[b], block_at(grid.blocks, next++), random);
      for (unsigned t = 0; t < grid.threads; ++t) {
        start(*m.fibers[b * grid.threads + t], blocks[b], t);
      }
    }
    std::shuffle(order.begin(), order.end(), random);
    bool ran = hold_back(blocks, random);
    for (const size_t i : order) {
      Fiber& fiber = *m.fibers[i];
      if (fiber.done || fiber.block == nullptr || fiber.block->asleep > 0) continue;
      if (fiber.watched != nullptr && *fiber.watched == fiber.seen) continue;
      fiber.watched = nullptr;
      fiber.spins = false;
      m.current = &fiber;
      swapcontext(&m.scheduler, &fiber.context);
      if (m.failure) break;
      ran = ran || !fiber.spins;
      if (fiber.done && fiber.block->running == 0) ++finished;
    }
    idle_rounds = ran ? 0 : idle_rounds + 1;
    if (!m.failure && idle_rounds > 1000) {
      m.failure = std::make_exception_ptr(std::logic_error("threads wait for what never comes"));
    }
    if (m.failure) break;
  }
  for (const std::unique_ptr<Fiber>& fiber : m.fibers) fiber->block = nullptr;
  if (m.failure) std::rethrow_exception(m.failure);
}

const Dim3& thread_index() {
  return machine().current->index;
}
const Dim3& block_index() {
  return machine().current->block->index;
}
const Dim3& block_size() {
  static thread_local Dim3 size;
  size = {machine().grid.threads, 1, 1};
  return size;
}
const Dim3& grid_size() {
  return machine().grid.blocks;
}

void yield_to_others() {
  machine().current->spins = true;
  switch_to_scheduler();
}

void block_barrier() {
  Meeting& meeting = machine().current->block->barrier;
  if (++meeting.arrived == machine().grid.threads) {
    meeting.arrived = 0;
    ++meeting.generation;
    return;
  }
  wait_for(meeting, meeting.generation);
}

const WarpValues& exchange(const char* instruction, const LaneValue& mine) {
  Fiber& fiber = *machine().current;
  Warp& warp = fiber.block->warps[fiber.index.x / kLanes];
  // Two sets in turn: nobody can fill a set again before all have read it, since that takes another
  // meeting.
  const unsigned turn = fiber.exchanges++ % 2;
  if (warp.meeting.arrived == 0) warp.instruction[turn] = instruction;
  if (std::strcmp(warp.instruction[turn], instruction) != 0) {
    throw std::logic_error(std::string("lanes of a warp meet at ") + instruction + " and " +
                           warp.instruction[turn]);
  }
  warp.values[turn][fiber.index.x % kLanes] = mine;
  if (++warp.meeting.arrived == kLanes) {
    warp.meeting.arrived = 0;
    ++warp.meeting.generation;
  } else {
    wait_for(warp.meeting, warp.meeting.generation);
  }
  return warp.values[turn];
}

}  // namespace headscope::emulator
