// Ranks as threads of one process, meeting in a real store.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <csignal>
#include <mutex>
#include <set>
#include <thread>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "outputs/input_error.h"
#include "profiler/tcp_ranks.h"
#include "tests/support/child_process.h"

namespace headscope::testing {
namespace {

using profiler::join_ranks;
using profiler::RankGroup;
using profiler::RankLost;
using profiler::RankPlace;
using profiler::TcpRankOptions;
using std::chrono::milliseconds;

const profiler::Cancelled kNever = [] { return false; };

RankPlace place(int rank, int size, int port) {
  RankPlace here;
  here.rank = rank;
  here.size = size;
  here.host = "127.0.0.1";
  here.port = static_cast<uint16_t>(port);
  here.run_id = "test";
  return here;
}

// The store of a launcher, which outlives its ranks.
c10::intrusive_ptr<c10d::TCPStore> launcher_store(int port) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<uint16_t>(port);
  options.isServer = true;
  options.waitWorkers = false;
  return c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
}

// Runs `work` as every rank at once. What one throws is kept for it.
std::vector<std::string> run_ranks(int size,
                                   int port,
                                   bool launcher_hosts,
                                   const std::function<void(RankGroup&)>& work,
                                   const TcpRankOptions& options = {}) {
  std::vector<std::string> problems(static_cast<size_t>(size));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        RankPlace here = place(rank, size, port);
        here.launcher_hosts = launcher_hosts;
        const auto ranks = join_ranks(here, kNever, options);
        work(*ranks);
      } catch (const RankLost& problem) {
        problems[static_cast<size_t>(rank)] = std::string("lost: ") + problem.what();
      } catch (const std::exception& problem) {
        problems[static_cast<size_t>(rank)] = problem.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return problems;
}

}  // namespace

TEST_CASE("every number of a counter goes to one rank, and all ranks know how many went",
          "[profiler]") {
  constexpr int64_t kNumbers = 200;
  std::mutex mutex;
  std::multiset<int64_t> drawn;
  std::atomic<int> knowing{0};
  const auto problems = run_ranks(3, free_port(), false, [&](RankGroup& ranks) {
    for (int64_t next = 0; (next = ranks.draw("a")) < kNumbers;) {
      const std::lock_guard lock(mutex);
      drawn.insert(next);
    }
    if (!ranks.meet("end", kNever)) return;
    // Each rank drew one number too many.
    if (ranks.drawn("a") == kNumbers + 3 && ranks.drawn("never") == 0) ++knowing;
  });
  CHECK(problems == std::vector<std::string>(3));
  CHECK(drawn.size() == kNumbers);
  CHECK(std::set<int64_t>(drawn.begin(), drawn.end()).size() == kNumbers);
  CHECK(*drawn.rbegin() == kNumbers - 1);
  CHECK(knowing == 3);
}

TEST_CASE("nobody passes a place before all have come, and rank 0's word is everyone's",
          "[profiler]") {
  std::atomic<int> come{0}, early{0};
  std::vector<std::string> heard(3);
  const auto problems = run_ranks(3, free_port(), false, [&](RankGroup& ranks) {
    std::this_thread::sleep_for(milliseconds(60 * ranks.rank()));
    ++come;
    if (!ranks.meet("here", kNever)) return;
    if (come < 3) ++early;
    const auto word = ranks.agree("word", "of rank " + std::to_string(ranks.rank()), kNever);
    heard[static_cast<size_t>(ranks.rank())] = word.value_or("nothing");
    if (ranks.rank() == 0) std::this_thread::sleep_for(milliseconds(100));
  });
  CHECK(problems == std::vector<std::string>(3));
  CHECK(early == 0);
  CHECK(heard == std::vector<std::string>(3, "of rank 0"));
}

TEST_CASE("ranks that are started anew beside an old store see none of its numbers", "[profiler]") {
  const int port = free_port();
  const auto store = launcher_store(port);
  std::atomic<int64_t> highest{0};
  const auto first = run_ranks(2, port, true, [&](RankGroup& ranks) {
    for (int i = 0; i < 10; ++i) static_cast<void>(ranks.draw("units"));
    static_cast<void>(ranks.agree("word", "old", kNever));
    if (ranks.rank() == 0) throw std::runtime_error("killed");
    static_cast<void>(ranks.meet("finished", kNever));
  });
  CHECK(first[0] == "killed");
  CHECK_THAT(first[1], Catch::StartsWith("lost: another rank has ended early"));
  std::vector<std::string> heard(2);
  const auto second = run_ranks(2, port, true, [&](RankGroup& ranks) {
    const int64_t number = ranks.draw("units");
    for (int64_t seen = highest; number > seen && !highest.compare_exchange_weak(seen, number);) {
    }
    const auto word = ranks.agree("word", "new", kNever);
    heard[static_cast<size_t>(ranks.rank())] = word.value_or("nothing");
    if (!ranks.meet("finished", kNever)) throw std::runtime_error("cancelled");
  });
  CHECK(second == std::vector<std::string>(2));
  CHECK(highest == 1);
  CHECK(heard == std::vector<std::string>(2, "new"));
}

TEST_CASE("one who waits is told when another has left, and can be cancelled", "[profiler]") {
  const auto left = run_ranks(3, free_port(), false, [&](RankGroup& ranks) {
    if (ranks.rank() == 1) return;
    if (ranks.rank() == 2) static_cast<void>(ranks.agree("never said", "", kNever));
    static_cast<void>(ranks.meet("end", kNever));
  });
  CHECK_THAT(left[0], Catch::StartsWith("lost: another rank has ended early"));
  CHECK(left[1].empty());
  CHECK_THAT(left[2], Catch::StartsWith("lost: another rank has ended early"));

  std::atomic<int> cancelled{0};
  const auto stopped = run_ranks(2, free_port(), false, [&](RankGroup& ranks) {
    if (ranks.rank() == 1) {
      if (!ranks.meet("never", [] { return true; })) ++cancelled;
      if (!ranks.agree("never", "", [] { return true; })) ++cancelled;
    } else {
      while (cancelled < 2) std::this_thread::sleep_for(milliseconds(1));
    }
  });
  CHECK(stopped == std::vector<std::string>(2));
  CHECK(cancelled == 2);
}

TEST_CASE("a rank that was killed is missed by those who wait for it", "[profiler]") {
  const int port = free_port();
  TcpRankOptions options;
  options.silence_limit = milliseconds(1000);
  // Forked before there is any thread: rank 1 joins, and dies without a word.
  const pid_t child = fork();
  if (child == 0) {
    const auto ranks = join_ranks(place(1, 2, port), kNever, options);
    static_cast<void>(ranks->draw("a"));
    ::kill(getpid(), SIGKILL);
  }
  const auto ranks = join_ranks(place(0, 2, port), kNever, options);
  CHECK_THROWS_WITH(static_cast<void>(ranks->meet("end", kNever)),
                    Catch::Contains("rank 1 has given no sign of life"));
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WIFSIGNALED(status));
}

TEST_CASE("ranks that never come are named, a taken port is refused", "[profiler]") {
  TcpRankOptions hasty;
  hasty.join_limit = milliseconds(200);
  const int port = free_port();
  CHECK_THROWS_WITH(join_ranks(place(0, 3, port), kNever, hasty),
                    Catch::Contains("rank 1 of 3 did not come"));
  CHECK(join_ranks(place(0, 2, port), [] { return true; }) == nullptr);
  const auto store = launcher_store(port);
  CHECK_THROWS_AS(join_ranks(place(0, 2, port), kNever), InputError);
  CHECK(join_ranks(place(0, 1, 0), kNever)->size() == 1);
}

}  // namespace headscope::testing
