// Which of a run's processes this one is, as launchers tell it: the environment variables that
// torchrun sets, and that any other launcher can.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace headscope::profiler {

struct RankPlace {
  int rank = 0;        // RANK, 0 … size - 1
  int size = 1;        // WORLD_SIZE
  int local_rank = 0;  // LOCAL_RANK: among the processes of this machine; picks the GPU
  std::string host;    // MASTER_ADDR and MASTER_PORT: where the ranks' store listens
  uint16_t port = 0;
  // TORCHELASTIC_USE_AGENT_STORE: the launcher hosts the store; else rank 0 does.
  bool launcher_hosts = false;
  std::string run_id;      // TORCHELASTIC_RUN_ID; empty = not told
  bool restarted = false;  // TORCHELASTIC_RESTART_COUNT > 0: goes on where others were killed
};

// A variable's value; null where it is not set.
using Variables = std::function<const char*(const char* name)>;

// One process on its own where WORLD_SIZE and RANK are not set, or WORLD_SIZE is 1. InputError:
// only a part is set, or a number is out of its range.
[[nodiscard]] RankPlace rank_place(const Variables& variables);
// Of this process.
[[nodiscard]] RankPlace rank_place();

}  // namespace headscope::profiler
