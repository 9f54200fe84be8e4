// Processor time and memory of what is done with one input, and the limits that all of it must keep.
#pragma once
#include <cstdint>

// Since the call to begin_usage(): processor time and the peak of memory from operator new.
struct Usage {
  double seconds;
  int64_t bytes;
};
void begin_usage();
Usage end_usage();
constexpr double kMaxSeconds = 1;
constexpr int64_t kMaxBytes = 100'000'000;
