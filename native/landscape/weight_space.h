// Networks whose weights are a sum of a few weight vectors times numbers: w = Σ_k c_k v_k. A surface around a
// mode, the plane through three modes and the curves between two are all made of such sums.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "models/network.h"

namespace mode_ensemble {

class WeightSpace {
 public:
  // The vectors are the weights of `checkpoints` and then so many random directions of `seed`. A direction is
  // drawn from the standard normal distribution in the shape of the first checkpoint's weights; each of its
  // filters (a row of the first dimension) gets the norm of the weights' filter, d ← d·‖w‖/(‖d‖ + 1e-10). Of
  // parameters of one dimension (biases, norms) and of what is not trained it is zero. Source: Li et al.,
  // NeurIPS 2018, arXiv 1712.09913, section 4.
  WeightSpace(const ArchOptions& arch, const std::vector<std::string>& checkpoints, int64_t directions,
              uint64_t seed);

  int64_t size() const { return static_cast<int64_t>(vectors_.size()); }
  // A plain network there, channels-last; `coefficients` has size() numbers. Running statistics are summed as
  // all else; counters are the first vector's. Several threads may call it.
  std::unique_ptr<Network> at(const double* coefficients) const;
  // The same into a network that is there already, in place.
  void fill(Network& network, const double* coefficients) const;
  // Takes a further vector, which may change afterwards.
  void add(std::shared_ptr<Network> vector) { vectors_.push_back(std::move(vector)); }
  const Network& vector(int64_t k) const { return *vectors_[static_cast<size_t>(k)]; }

  // Inner products of the vectors' trained parameters, [size, size], row by row.
  std::vector<double> products() const;
  // `direction1.<name>`, `direction2.<name>` …, float32; written whole or not at all.
  void save_directions(const std::string& path) const;

 private:
  void add_direction(int64_t number, uint64_t seed);

  ArchOptions arch_;
  std::vector<std::shared_ptr<const Network>> vectors_;
  int64_t directions_ = 0;
};

}  // namespace mode_ensemble
