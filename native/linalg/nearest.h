// The exact search for the k nearest rows: bounds from whole numbers first, float32 differences for what is
// left.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "linalg/codes.h"

namespace mode_ensemble {

struct Bank {
  const float* rows = nullptr;  // [count, width]
  int64_t count = 0, width = 0;
  CoarseBank coarse;
  FineRows fine;

  static int64_t bytes_of_row(int64_t width, int64_t coarse_width) {
    return static_cast<int64_t>(sizeof(float)) * width + CoarseBank::bytes_of_row(coarse_width) +
           FineRows::bytes_of_row(width);
  }
};

struct Queries {
  const float* rows = nullptr;  // [count, width]
  int64_t count = 0, width = 0;
  CoarseQueries coarse;
  FineRows fine;
};

// How many pairs of a query and a row went how far.
struct SearchCounts {
  int64_t fine = 0, exact = 0;
};

// Queries that are searched for together, so that their codes and the panel's stay in the nearer caches. A
// smaller number where otherwise threads would have nothing to do.
int64_t search_block(int64_t queries, int64_t width, int64_t threads);

// Where a search begins and what it is to leave.
struct SearchState {
  const float* known = nullptr;  // [queries, k]: the k smallest squared distances to other rows, infinite
                                 // where there are fewer; or nothing
  float* best =
      nullptr;  // [queries, k]: the same, with this bank's rows, in no order (may be `known`); or nothing
  float* kth = nullptr;  // [queries]: the largest of them; where nothing else is asked for, far fewer
                         // distances are computed
};

// Queries first … first + count - 1 (`first` a multiple of kGroup) against the bank. `tick` is called now and
// then, and may throw. A query's result does not depend on what it is searched together with.
SearchCounts search(const Bank& bank, const Queries& queries, int64_t first, int64_t count, int64_t k,
                    const SearchState& state, const std::function<void()>& tick);

// How many pairs of a row and one of `count` queries the first comparison alone lets through, with `reach`
// given.
int64_t count_marked(const CoarseBank& bank, const CoarseQueries& queries, int64_t count, const float* reach);

// ‖a − b‖², the same on every machine.
float squared_distance(const float* a, const float* b, int64_t n);

}  // namespace mode_ensemble
