#include "cuda/graph.h"

#include <ATen/cuda/CUDAGraph.h>

#include "cuda/devices.h"

namespace mode_ensemble {

struct Graph::Impl {
  at::cuda::CUDAGraph graph;
};

Graph::Graph() : impl_(std::make_unique<Impl>()) {}
Graph::~Graph() = default;

void Graph::draws_from(const at::Generator& generator) { impl_->graph.register_generator_state(generator); }

void Graph::record(const std::function<void()>& work) {
  // The graph has memory of its own beside what was used until now.
  empty_device_cache();
  // Of this thread alone: the loader's threads may do as they like meanwhile, and autograd's run on this
  // stream.
  impl_->graph.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
  try {
    work();
  } catch (...) {
    try {
      impl_->graph.capture_end();
    } catch (...) {  // of a recording that is spoilt anyway
    }
    throw;
  }
  impl_->graph.capture_end();
}

void Graph::replay() { impl_->graph.replay(); }

}  // namespace mode_ensemble
