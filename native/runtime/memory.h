// Keeps the large blocks of a training step for the next one. LibTorch's CPU allocator gives every activation
// back to the kernel and gets it again, page by page and zeroed: some 50,000 page faults a step of ResNet-18
// at batch 128, where with this there are 2,000 (docs/performance.md).
#pragma once
#include <cstdint>

namespace mode_ensemble {

// While one lives, freed blocks of 1 MiB and more stay with the process and are used again; when the last one
// goes, all that is free returns to the system, and when another goes, what nobody has used since it began.
// Any thread.
class MemoryReuse {
 public:
  MemoryReuse();
  ~MemoryReuse();
  MemoryReuse(const MemoryReuse&) = delete;
  MemoryReuse& operator=(const MemoryReuse&) = delete;

 private:
  int64_t since_;
};

}  // namespace mode_ensemble
