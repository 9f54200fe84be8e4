// Work on a GPU that is recorded once and then started as a whole: CUDA Graphs.
#pragma once
#include <ATen/core/Generator.h>

#include <functional>
#include <memory>

namespace mode_ensemble {

class Graph {
 public:
  Graph();
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  // A generator that the work draws from: each replay begins where the generator then stands.
  void draws_from(const at::Generator& generator);
  // Takes down what `work` asks this thread's stream for, of which nothing is computed. It may not wait for
  // the device, and what it allocates stays where it is for as long as the graph lives. Throws what `work`
  // throws, and c10::Error where something cannot be recorded.
  void record(const std::function<void()>& work);
  // On this thread's stream.
  void replay();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mode_ensemble
