#include "cuda/nccl.h"

#include <c10/core/Event.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <dlfcn.h>

#include <exception>
#include <string>

#include "runtime/error.h"

namespace mode_ensemble {
namespace {

// The part of nccl.h that is used. Its C interface is the same in all versions 2; the header is in neither
// LibTorch nor the CUDA toolkit.
struct UniqueId {
  char bytes[128];
};
using Comm = void*;
constexpr int kSum = 0;
constexpr int kUint8 = 1, kFloat32 = 7;

struct Library {
  int (*get_unique_id)(UniqueId*);
  int (*comm_init_rank)(Comm*, int ranks, UniqueId, int rank);
  int (*all_reduce)(const void* from, void* to, size_t count, int type, int operation, Comm, cudaStream_t);
  int (*broadcast)(const void* from, void* to, size_t count, int type, int root, Comm, cudaStream_t);
  int (*comm_destroy)(Comm);
  int (*comm_abort)(Comm);
  const char* (*error_string)(int);
};

const Library& library() {
  static const Library found = [] {
    void* handle = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
      const char* why = dlerror();
      throw Error(ErrorCode::device, std::string("NCCL, over which ranks on GPUs add up, was not found (") +
                                         (why ? why : "no reason given") + ").");
    }
    Library names{};
    const auto find = [&](auto& function, const char* name) {
      void* address = dlsym(handle, name);
      if (!address) throw Error(ErrorCode::device, std::string("NCCL has no ") + name + ".");
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(address);
    };
    find(names.get_unique_id, "ncclGetUniqueId");
    find(names.comm_init_rank, "ncclCommInitRank");
    find(names.all_reduce, "ncclAllReduce");
    find(names.broadcast, "ncclBroadcast");
    find(names.comm_destroy, "ncclCommDestroy");
    find(names.comm_abort, "ncclCommAbort");
    find(names.error_string, "ncclGetErrorString");
    return names;
  }();
  return found;
}

void check(int code, const char* what) {
  if (code == 0) return;
  throw Error(ErrorCode::device, std::string("NCCL: ") + what + " failed: " + library().error_string(code) +
                                     " (code " + std::to_string(code) + "); another rank may have ended.");
}

}  // namespace

struct Nccl::Impl {
  Impl(Ranks& ranks, at::Device device) : device(device) {
    const c10::cuda::CUDAGuard guard(device);
    UniqueId id{};
    if (ranks.rank() == 0) check(library().get_unique_id(&id), "making an id");
    ranks.broadcast(&id, sizeof id);
    check(library().comm_init_rank(&comm, static_cast<int>(ranks.size()), id, static_cast<int>(ranks.rank())),
          "joining");
  }

  // Begins `operation` on the stream of the sums, after what the calling thread's has been asked for.
  template <typename Operation>
  void begin(const at::Tensor& tensor, const char* what, Operation operation) {
    const c10::cuda::CUDAGuard guard(device);
    asked.record(c10::cuda::getCurrentCUDAStream(device.index()).unwrap());
    asked.block(stream.unwrap());
    check(operation(tensor.data_ptr(), stream.stream()), what);
    done.record(stream.unwrap());
  }

  at::Device device;
  c10::cuda::CUDAStream stream = c10::cuda::getStreamFromPool(/*isHighPriority=*/true, device.index());
  c10::Event asked{at::kCUDA}, done{at::kCUDA};
  Comm comm = nullptr;
};

Nccl::Nccl(Ranks& ranks, at::Device device) : impl_(std::make_unique<Impl>(ranks, device)) {}

Nccl::~Nccl() {
  // The other ranks do not come to finish what is begun where one of them failed.
  if (std::uncaught_exceptions() > 0)
    library().comm_abort(impl_->comm);
  else
    library().comm_destroy(impl_->comm);
}

void Nccl::sum(const at::Tensor& tensor) {
  TORCH_CHECK(tensor.scalar_type() == at::kFloat && tensor.is_non_overlapping_and_dense());
  impl_->begin(tensor, "a sum", [&](void* data, cudaStream_t stream) {
    return library().all_reduce(data, data, static_cast<size_t>(tensor.numel()), kFloat32, kSum, impl_->comm,
                                stream);
  });
}

void Nccl::broadcast(const at::Tensor& tensor) {
  TORCH_CHECK(tensor.is_non_overlapping_and_dense());
  impl_->begin(tensor, "a broadcast", [&](void* data, cudaStream_t stream) {
    return library().broadcast(data, data, tensor.nbytes(), kUint8, /*root=*/0, impl_->comm, stream);
  });
}

void Nccl::join() { impl_->done.block(c10::cuda::getCurrentCUDAStream(impl_->device.index()).unwrap()); }

}  // namespace mode_ensemble
