#include "cuda/devices.h"

#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

namespace mode_ensemble {

bool built_with_cuda() { return true; }

std::vector<CudaDevice> cuda_devices() {
  std::vector<CudaDevice> devices;
  const int count = c10::cuda::device_count();
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties{};
    C10_CUDA_CHECK(cudaGetDeviceProperties(&properties, i));
    devices.push_back({properties.name, static_cast<int64_t>(properties.totalGlobalMem), properties.major,
                       properties.minor});
  }
  return devices;
}

int64_t free_device_memory(at::Device device) {
  const c10::cuda::CUDAGuard guard(device);
  c10::cuda::CUDACachingAllocator::emptyCache();
  size_t free = 0, total = 0;
  C10_CUDA_CHECK(cudaMemGetInfo(&free, &total));
  return static_cast<int64_t>(free);
}

void empty_device_cache() { c10::cuda::CUDACachingAllocator::emptyCache(); }

void* current_cuda_stream(at::Device device) {
  return c10::cuda::getCurrentCUDAStream(device.index()).stream();
}

}  // namespace mode_ensemble
