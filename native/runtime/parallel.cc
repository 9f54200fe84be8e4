#include "runtime/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace mode_ensemble {

void parallel_for(int64_t count, int64_t threads, const std::function<void(int64_t)>& work) {
  constexpr int64_t kMostThreads = 256;
  std::atomic<int64_t> next{0};
  std::mutex mutex;
  int64_t failed = count;  // the first turn that threw; all before it have been begun, and are finished
  std::exception_ptr failure;
  const auto run = [&] {
    while (true) {
      const int64_t i = next++;
      if (i >= count) return;
      try {
        work(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (i < failed) failed = i, failure = std::current_exception();
        next = count;
      }
    }
  };
  std::vector<std::thread> others;
  others.reserve(static_cast<size_t>(std::clamp<int64_t>(threads, 1, kMostThreads)));
  try {
    for (int64_t t = 1; t < std::min({threads, count, kMostThreads}); ++t) others.emplace_back(run);
  } catch (const std::system_error&) {
    // No more threads are to be had: those that there are do the work.
  }
  run();
  for (std::thread& thread : others) thread.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace mode_ensemble
