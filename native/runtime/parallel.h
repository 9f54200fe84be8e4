// A loop whose turns are shared among threads.
#pragma once
#include <cstdint>
#include <functional>

namespace mode_ensemble {

// Calls work(0) … work(count - 1), from the caller's thread and up to `threads` - 1 more. Turns are begun in
// their order. Where some throw, what the first of them (by number) threw is thrown, whatever the number of
// threads; no later turn is begun.
void parallel_for(int64_t count, int64_t threads, const std::function<void(int64_t)>& work);

}  // namespace mode_ensemble
