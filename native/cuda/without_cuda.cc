// Stands in for the files that need CUDA where LibTorch has none.
#include "cuda/devices.h"
#include "cuda/graph.h"
#include "cuda/nccl.h"
#include "cuda/squares_kernel.h"
#include "runtime/error.h"

namespace mode_ensemble {
namespace {

[[noreturn]] void refuse() {
  throw Error(ErrorCode::device, "This addon was built with a LibTorch without CUDA.");
}

}  // namespace

bool built_with_cuda() { return false; }
std::vector<CudaDevice> cuda_devices() { return {}; }
int64_t free_device_memory(at::Device) { refuse(); }
void empty_device_cache() { refuse(); }
void* current_cuda_stream(at::Device) { refuse(); }

struct Graph::Impl {};
Graph::Graph() { refuse(); }
Graph::~Graph() = default;
void Graph::draws_from(const at::Generator&) { refuse(); }
void Graph::record(const std::function<void()>&) { refuse(); }
void Graph::replay() { refuse(); }

struct Nccl::Impl {};
Nccl::Nccl(Ranks&, at::Device) { refuse(); }
Nccl::~Nccl() = default;
void Nccl::sum(const at::Tensor&) { refuse(); }
void Nccl::broadcast(const at::Tensor&) { refuse(); }
void Nccl::join() { refuse(); }

int launch_squares(const SquaresJob&, void*) { refuse(); }

}  // namespace mode_ensemble
