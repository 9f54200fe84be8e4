#include "runtime/memory.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>

#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <unordered_map>

namespace mode_ensemble {
namespace {

constexpr size_t kLarge = size_t{1} << 20;
// x86-64's huge page: blocks are aligned to it, so that the kernel can back them with few page-table entries.
constexpr size_t kHugePage = size_t{2} << 20;

// Blocks of 1 MiB and more; what is smaller goes to LibTorch's own allocator. oneDNN's wrapper in LibTorch
// frees by address alone (raw_deallocate), so a block is known by its address.
class ReusingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    if (bytes < kLarge) return c10::GetDefaultCPUAllocator()->allocate(bytes);
    void* data = take((bytes + kHugePage - 1) / kHugePage * kHugePage);
    return {data, data, &ReusingAllocator::give_back, c10::Device(c10::DeviceType::CPU)};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &ReusingAllocator::give_back; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    std::memcpy(to, from, bytes);
  }

  int64_t begin() {
    const std::lock_guard lock(mutex_);
    ++users_;
    return ++beginning_;
  }

  // What is free goes with the last user; with the others, what nobody has taken since they began.
  void end(int64_t since) {
    const std::lock_guard lock(mutex_);
    --users_;
    for (auto block = free_.begin(); block != free_.end();) {
      const auto& [size, at] = *block;
      if (users_ > 0 && at.taken >= since) {
        ++block;
        continue;
      }
      munmap(at.data, size);
      block = free_.erase(block);
    }
  }

 private:
  void* take(size_t size) {
    const std::lock_guard lock(mutex_);
    // At most an eighth too large: a small tensor must not sit on a large block.
    const auto found = free_.lower_bound(size);
    if (found != free_.end() && found->first <= size + size / 8) {
      void* data = found->second.data;
      used_.emplace(data, found->first);
      free_.erase(found);
      return data;
    }
    void* data = map(size);
    used_.emplace(data, size);
    return data;
  }

  static void* map(size_t size) {
    // One huge page more than needed, so that the block can be aligned; the rest goes back at once.
    void* raw = mmap(nullptr, size + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED) throw std::bad_alloc();
    const auto start = reinterpret_cast<uintptr_t>(raw);
    const auto aligned = (start + kHugePage - 1) / kHugePage * kHugePage;
    if (aligned > start) munmap(raw, aligned - start);
    const size_t behind = start + kHugePage - aligned;
    if (behind > 0) munmap(reinterpret_cast<void*>(aligned + size), behind);
    void* data = reinterpret_cast<void*>(aligned);
#ifdef MADV_HUGEPAGE
    madvise(data, size, MADV_HUGEPAGE);
#endif
    return data;
  }

  static void give_back(void* data);

  struct Free {
    void* data;
    int64_t taken;  // the latest beginning when it was last in use
  };

  std::mutex mutex_;
  int users_ = 0;
  int64_t beginning_ = 0;
  std::multimap<size_t, Free> free_;
  std::unordered_map<void*, size_t> used_;
};

// Never destroyed: tensors may be freed while the process ends.
ReusingAllocator& allocator() {
  static auto* const instance = new ReusingAllocator;
  return *instance;
}

void ReusingAllocator::give_back(void* data) {
  auto& self = allocator();
  // Every block is aligned to a huge page; hardly anything else is.
  if (reinterpret_cast<uintptr_t>(data) % kHugePage == 0) {
    const std::lock_guard lock(self.mutex_);
    const auto found = self.used_.find(data);
    if (found != self.used_.end()) {
      if (self.users_ > 0)
        self.free_.emplace(found->second, Free{data, self.beginning_});
      else
        munmap(data, found->second);
      self.used_.erase(found);
      return;
    }
  }
  c10::GetDefaultCPUAllocator()->raw_deleter()(data);
}

}  // namespace

MemoryReuse::MemoryReuse() {
  // Once for the process; LibTorch has one CPU allocator.
  static const bool installed = [] {
    c10::SetCPUAllocator(&allocator());
    return true;
  }();
  (void)installed;
  since_ = allocator().begin();
}

MemoryReuse::~MemoryReuse() { allocator().end(since_); }

}  // namespace mode_ensemble
