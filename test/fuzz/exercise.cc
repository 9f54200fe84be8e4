#include "exercise.h"

#include <malloc.h>
#include <time.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "runtime/error.h"

using namespace mode_ensemble;

namespace {

constexpr int64_t kReadBudget = 16 << 20;
constexpr size_t kMaxReads = 500;
std::atomic<int64_t> live{0}, peak{0};
double started = 0;

double processor_time() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

void* allocate(size_t size) {
  void* memory = std::malloc(size > 0 ? size : 1);
  if (!memory) throw std::bad_alloc();
  const int64_t now = live += static_cast<int64_t>(malloc_usable_size(memory));
  int64_t before = peak;
  while (now > before && !peak.compare_exchange_weak(before, now)) {
  }
  return memory;
}

void release(void* memory) noexcept {
  if (!memory) return;
  live -= static_cast<int64_t>(malloc_usable_size(memory));
  std::free(memory);
}

}  // namespace

void* operator new(size_t size) { return allocate(size); }
void* operator new[](size_t size) { return allocate(size); }
void* operator new(size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void* operator new[](size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void operator delete(void* memory) noexcept { release(memory); }
void operator delete[](void* memory) noexcept { release(memory); }
void operator delete(void* memory, size_t) noexcept { release(memory); }
void operator delete[](void* memory, size_t) noexcept { release(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { release(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { release(memory); }

void begin_usage() {
  peak = live.load();
  started = processor_time();
}

Usage end_usage() { return {processor_time() - started, peak - live}; }

std::string exercise(const uint8_t* data, size_t size, const std::string& name) {
  std::string first;
  const auto attempt = [&](auto&& action) {
    try {
      action();
    } catch (const Error& error) {
      if (error.code() != ErrorCode::checkpoint) throw;
      if (first.empty()) first = error.what();
    }
  };
  std::unique_ptr<Checkpoint> checkpoint;
  attempt([&] { checkpoint = Checkpoint::open(make_memory_source(name, {data, data + size})); });
  if (!checkpoint) return first;
  attempt([&] { checkpoint->weights(); });
  attempt([&] { checkpoint->weights_in(); });
  size_t text = checkpoint->format().size() + checkpoint->metadata().size();
  for (const auto& [path, value] : checkpoint->values()) text += path.size() + value.size();
  int64_t budget = kReadBudget;
  for (size_t i = 0; i < checkpoint->tensors().size() && i < kMaxReads; ++i) {
    const TensorInfo& info = checkpoint->tensors()[i];
    text += info.name.size();
    // Whoever opens a file may trust these products: the shape was checked against the storage.
    const int64_t elements = info.elements(), bytes = elements * 16;
    if (elements > kReadBudget || bytes > budget) continue;
    budget -= bytes;
    for (const DType as : {info.dtype, DType::f32, DType::i64}) {
      std::vector<uint8_t> out(static_cast<size_t>(elements * size_of(as)));
      attempt([&] { checkpoint->read(i, as, out.data()); });
    }
  }
  // A use of the sum, so that the walk over every name and text is not optimised away.
  return text < SIZE_MAX ? first : "";
}
