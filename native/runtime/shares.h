// Items divided among threads so that none waits long for another.
#pragma once
#include <atomic>
#include <cstdint>
#include <vector>

namespace mode_ensemble {

// Each thread has a run of the items and takes them from the front, so that neighbours stay together and a
// thread gets the same ones time after time; one that has none left takes from the end of another's run.
// Fewer than 2³² items.
class Shares {
 public:
  Shares(int64_t items, int64_t threads) : runs_(static_cast<size_t>(threads)) {
    for (int64_t t = 0; t < threads; ++t)
      runs_[static_cast<size_t>(t)].ends = packed(items * t / threads, items * (t + 1) / threads);
  }

  // The next item for the thread of that number, or -1 where none is left.
  int64_t next(int64_t thread) {
    const auto own = static_cast<size_t>(thread);
    if (const int64_t item = take(runs_[own], true); item >= 0) return item;
    for (size_t i = 1; i < runs_.size(); ++i)
      if (const int64_t item = take(runs_[(own + i) % runs_.size()], false); item >= 0) return item;
    return -1;
  }

 private:
  struct alignas(64) Run {
    std::atomic<uint64_t> ends;  // the first item, and that after the last
  };

  static uint64_t packed(int64_t first, int64_t end) {
    return static_cast<uint64_t>(first) << 32 | static_cast<uint64_t>(end);
  }

  static int64_t take(Run& run, bool front) {
    uint64_t ends = run.ends.load(std::memory_order_relaxed);
    while (true) {
      const auto first = static_cast<int64_t>(ends >> 32), end = static_cast<int64_t>(ends & 0xFFFFFFFF);
      if (first == end) return -1;
      // What an item's work writes is handed over where the threads meet, not here.
      if (run.ends.compare_exchange_weak(ends, front ? packed(first + 1, end) : packed(first, end - 1),
                                         std::memory_order_relaxed))
        return front ? first : end - 1;
    }
  }

  std::vector<Run> runs_;
};

}  // namespace mode_ensemble
