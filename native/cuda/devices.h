// The room of all that needs CUDA's own headers or compiler. Everywhere else LibTorch's device-independent
// streams, events and tensors are used, which compile without CUDA. devices.cc, graph.cc, nccl.cc and
// squares.cu are built where LibTorch is a CUDA build; elsewhere without_cuda.cc stands in for them: there
// are no devices, and what would need one throws Error(device).
#pragma once
#include <c10/core/Device.h>

#include <cstdint>
#include <string>
#include <vector>

namespace mode_ensemble {

struct CudaDevice {
  std::string name;
  int64_t bytes = 0;         // of its memory
  int major = 0, minor = 0;  // compute capability
};

bool built_with_cuda();
// Those that the process may use; none without a driver.
std::vector<CudaDevice> cuda_devices();
// Bytes that a job could still get, what LibTorch keeps for later use included.
int64_t free_device_memory(at::Device device);
// Gives memory that LibTorch keeps for later use back to the devices.
void empty_device_cache();
// The cudaStream_t of the calling thread.
void* current_cuda_stream(at::Device device);

}  // namespace mode_ensemble
