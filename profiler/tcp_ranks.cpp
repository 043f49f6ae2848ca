#include "profiler/tcp_ranks.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <random>
#include <thread>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <vector>

#include "outputs/input_error.h"

namespace headscope::profiler {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using StorePointer = c10::intrusive_ptr<c10d::TCPStore>;

constexpr milliseconds kConnectAttempt{5'000};  // between two looks at `cancelled`
constexpr milliseconds kFarewellLimit{10'000};
constexpr const char* kSaved = " What was finished is saved: run the same command again to go on.";

std::string seconds_text(milliseconds time) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g s", std::chrono::duration<double>(time).count());
  return text;
}

std::string address_of(const RankPlace& place) {
  return place.host + ":" + std::to_string(place.port);
}

StorePointer open_store(const RankPlace& place, bool host) {
  c10d::TCPStoreOptions options;
  options.port = place.port;
  options.isServer = host;
  options.numWorkers = static_cast<size_t>(place.size);
  options.waitWorkers = false;
  options.timeout = kConnectAttempt;
  return c10::make_intrusive<c10d::TCPStore>(place.host, options);
}

// Null where it was cancelled.
StorePointer connect(const RankPlace& place, const Cancelled& cancelled, Clock::time_point until) {
  if (!place.launcher_hosts && place.rank == 0) {
    try {
      return open_store(place, /*host=*/true);
    } catch (const c10::Error& problem) {
      throw InputError("MASTER_PORT " + std::to_string(place.port),
                       "a free port for the ranks to meet at", problem.what_without_backtrace(),
                       "Choose another one.");
    }
  }
  while (!cancelled()) {
    try {
      return open_store(place, /*host=*/false);
    } catch (const c10::Error& problem) {
      if (Clock::now() < until) continue;
      throw RankLost("the ranks' store at " + address_of(place) +
                     " was not found: " + problem.what_without_backtrace() + kSaved);
    }
  }
  return {};
}

std::string random_name() {
  std::random_device random;
  char text[32];
  std::snprintf(text, sizeof text, "%08x%08x", random(), random());
  return text;
}

// Sleeps longer from time to time, so that short waits end at once and long ones cost little.
class Patience {
 public:
  void pause() {
    std::this_thread::sleep_for(next_);
    next_ = std::min(next_ * 3 / 2, milliseconds(200));
  }

 private:
  milliseconds next_{4};
};

class TcpRanks final : public RankGroup {
 public:
  TcpRanks(StorePointer store, const RankPlace& place, const TcpRankOptions& options)
      : store_(std::move(store)),
        place_(place),
        options_(options),
        base_("headscope/" + place.run_id + "/") {}

  ~TcpRanks() override {
    stop_beating();
    if (round_.empty()) return;
    try {
      store_->add(round_ + "left", 1);
      if (!place_.launcher_hosts && place_.rank == 0) let_others_leave();
    } catch (const std::exception&) {
      // The store is gone: nobody is left to be told.
    }
  }

  TcpRanks(const TcpRanks&) = delete;
  TcpRanks& operator=(const TcpRanks&) = delete;

  // False where it was cancelled.
  bool join(const Cancelled& cancelled, Clock::time_point until) {
    const std::string round = guarded(
        [&] { return place_.rank == 0 ? gather(cancelled, until) : answer(cancelled, until); });
    if (round.empty()) return false;
    round_ = round;
    beating_ = std::thread([this] { beat(); });
    return true;
  }

  [[nodiscard]] int rank() const override { return place_.rank; }
  [[nodiscard]] int size() const override { return place_.size; }

  [[nodiscard]] int64_t draw(const std::string& counter) override {
    return guarded([&] { return store_->add(round_ + counter, 1) - 1; });
  }

  [[nodiscard]] int64_t drawn(const std::string& counter) override {
    return guarded([&] { return store_->add(round_ + counter, 0); });
  }

  [[nodiscard]] bool meet(const std::string& place, const Cancelled& cancelled) override {
    const std::string key = round_ + "meet/" + place;
    return guarded([&] {
      store_->add(key, 1);
      return wait_until([&] { return store_->add(key, 0) >= place_.size; }, cancelled);
    });
  }

  [[nodiscard]] std::optional<std::string> agree(const std::string& topic,
                                                 const std::string& word,
                                                 const Cancelled& cancelled) override {
    const std::string key = round_ + "word/" + topic;
    return guarded([&]() -> std::optional<std::string> {
      if (place_.rank == 0) {
        store_->c10d::Store::set(key, word);
        return word;
      }
      if (!wait_until([&] { return store_->check({key}); }, cancelled)) return std::nullopt;
      return store_->get_to_str(key);
    });
  }

 private:
  // What LibTorch throws when the store is gone, in our words.
  template <typename Work>
  auto guarded(const Work& work) -> decltype(work()) {
    try {
      return work();
    } catch (const c10::Error& problem) {
      throw RankLost("the ranks' store at " + address_of(place_) + " does not answer any more (" +
                     std::string(place_.launcher_hosts ? "the launcher" : "rank 0") +
                     " has ended): " + problem.what_without_backtrace() + kSaved);
    }
  }

  [[nodiscard]] std::string reply_key(const std::string& round, int rank) const {
    return round + "reply/" + std::to_string(rank);
  }

  // Rank 0's side of joining. Both return the round's prefix, empty where they were cancelled.
  std::string gather(const Cancelled& cancelled, Clock::time_point until) {
    const std::string round = base_ + random_name() + "/";
    store_->c10d::Store::set(base_ + "hello", round);
    std::string names;
    for (int rank = 1; rank < place_.size; ++rank) {
      for (Patience patience; !store_->check({reply_key(round, rank)}); patience.pause()) {
        if (cancelled()) return "";
        if (Clock::now() >= until) throw_absent(rank);
      }
      names += store_->get_to_str(reply_key(round, rank)) + ";";
    }
    store_->c10d::Store::set(round + "welcome", names);
    return round;
  }

  std::string answer(const Cancelled& cancelled, Clock::time_point until) {
    const std::string own = std::to_string(place_.rank) + "=" + random_name();
    std::string answered;
    for (Patience patience;; patience.pause()) {
      if (cancelled()) return "";
      if (Clock::now() >= until) throw_absent(0);
      if (!store_->check({base_ + "hello"})) continue;
      const std::string round = store_->get_to_str(base_ + "hello");
      if (round != answered) store_->c10d::Store::set(reply_key(round, place_.rank), own);
      answered = round;
      if (store_->check({round + "welcome"}) &&
          store_->get_to_str(round + "welcome").find(own + ";") != std::string::npos) {
        return round;
      }
    }
  }

  [[noreturn]] void throw_absent(int rank) const {
    throw RankLost("rank " + std::to_string(rank) + " of " + std::to_string(place_.size) +
                   " did not come within " + seconds_text(options_.join_limit) + "." + kSaved);
  }

  // False where it was cancelled.
  bool wait_until(const std::function<bool()>& there, const Cancelled& cancelled) {
    LifeSigns signs(*this);
    for (Patience patience;; patience.pause()) {
      // Asked first: who came and then left is seen by there().
      const bool someone_left = store_->add(round_ + "left", 0) > 0;
      if (there()) return true;
      if (someone_left) throw RankLost(std::string("another rank has ended early.") + kSaved);
      if (cancelled()) return false;
      signs.check();
    }
  }

  // Which ranks' counters of life have stood still, seen by one who waits.
  class LifeSigns {
   public:
    explicit LifeSigns(TcpRanks& ranks)
        : ranks_(ranks),
          seen_(static_cast<size_t>(ranks.place_.size), {-1, Clock::now()}),
          checked_(Clock::now()) {}

    void check() {
      const Clock::time_point now = Clock::now();
      if (now - checked_ < ranks_.options_.silence_limit / 10) return;
      checked_ = now;
      for (size_t rank = 0; rank < seen_.size(); ++rank) {
        const int64_t count = ranks_.store_->add(ranks_.life_key(static_cast<int>(rank)), 0);
        auto& [last, when] = seen_[rank];
        if (count != last) {
          last = count;
          when = now;
        } else if (now - when > ranks_.options_.silence_limit) {
          throw RankLost("rank " + std::to_string(rank) + " has given no sign of life for " +
                         seconds_text(ranks_.options_.silence_limit) + "." + kSaved);
        }
      }
    }

   private:
    TcpRanks& ranks_;
    std::vector<std::pair<int64_t, Clock::time_point>> seen_;
    Clock::time_point checked_;
  };

  [[nodiscard]] std::string life_key(int rank) const {
    return round_ + "life/" + std::to_string(rank);
  }

  void beat() {
    try {
      std::unique_lock lock(mutex_);
      do {
        store_->add(life_key(place_.rank), 1);
      } while (!stop_.wait_for(lock, options_.silence_limit / 10, [&] { return stopping_; }));
    } catch (const std::exception&) {
      // The store is gone; the thread that works will find out.
    }
  }

  void stop_beating() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    stop_.notify_all();
    if (beating_.joinable()) beating_.join();
  }

  void let_others_leave() {
    const Clock::time_point until = Clock::now() + kFarewellLimit;
    Patience patience;
    while (store_->add(round_ + "left", 0) < place_.size && Clock::now() < until) patience.pause();
  }

  StorePointer store_;
  RankPlace place_;
  TcpRankOptions options_;
  std::string base_;   // of all rounds' keys
  std::string round_;  // of this round's; empty before joining
  std::thread beating_;
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;
};

}  // namespace

std::unique_ptr<RankGroup> join_ranks(const RankPlace& place,
                                      const Cancelled& cancelled,
                                      const TcpRankOptions& options) {
  if (place.size == 1) return std::make_unique<SoloRank>();
  const Clock::time_point until = Clock::now() + options.join_limit;
  StorePointer store = connect(place, cancelled, until);
  if (!store) return nullptr;
  auto ranks = std::make_unique<TcpRanks>(std::move(store), place, options);
  if (!ranks->join(cancelled, until)) return nullptr;
  return ranks;
}

}  // namespace headscope::profiler
