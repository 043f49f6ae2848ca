// Ranks that meet in LibTorch's TCPStore, on one machine or several: a small table of keys that one
// process serves, the launcher or rank 0.
//
// A store outlives a process: after a failure the launcher starts all ranks anew beside the same
// store, which still holds the keys of the round before. So ranks first find each other. Rank 0
// says a name that it has drawn at random; the others answer under it with names of their own,
// until rank 0 has confirmed all of them. Only processes that run at the same time can complete
// that, and everything else is kept under rank 0's name: a round never sees another's numbers.
#pragma once

#include <chrono>
#include <memory>

#include "profiler/rank_group.h"
#include "profiler/rank_place.h"

namespace headscope::profiler {

struct TcpRankOptions {
  std::chrono::milliseconds join_limit{600'000};  // until all ranks have come
  // A rank that is waited for and gives no sign of life for so long is lost. Each gives one every
  // tenth of it.
  std::chrono::milliseconds silence_limit{60'000};
};

// SoloRank for a place of size 1; else waits until all ranks have come. None where that was
// cancelled. RankLost: they did not come in time, or the store was not found. InputError: rank 0
// cannot listen at MASTER_PORT.
//
// A waiting rank also learns when another has left without coming: RankLost. When rank 0 hosts the
// store and goes, it waits up to ten seconds for the others to have gone.
[[nodiscard]] std::unique_ptr<RankGroup> join_ranks(const RankPlace& place,
                                                    const Cancelled& cancelled,
                                                    const TcpRankOptions& options = {});

}  // namespace headscope::profiler
