// Keeps the large blocks of a training step for the next one. LibTorch's CPU allocator gives every activation
// back to the kernel and gets it again, page by page and zeroed; a step of ResNet-18 at batch 128 moves over
// a gigabyte so.
#pragma once
#include <cstdint>

namespace mode_ensemble {

// While one lives, freed blocks of 1 MiB and more stay with the process and are used again; when the last one
// goes, all that is free returns to the system. Any thread.
class MemoryReuse {
 public:
  MemoryReuse();
  ~MemoryReuse();
  MemoryReuse(const MemoryReuse&) = delete;
  MemoryReuse& operator=(const MemoryReuse&) = delete;
};

}  // namespace mode_ensemble
