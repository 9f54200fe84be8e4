// What the fuzzers and the list of bad files do with an input, and the limits that all of it must keep.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

// Opens the bytes as a checkpoint called `name`, lists everything and reads every tensor in two ways, up to a
// budget of bytes. Gives the first Error(checkpoint)'s sentence, "" where there was none. Any other exception
// goes through.
std::string exercise(const uint8_t* data, size_t size, const std::string& name);

// Processor time and the peak of memory from operator new since the call to begin().
struct Usage {
  double seconds;
  int64_t bytes;
};
void begin_usage();
Usage end_usage();
constexpr double kMaxSeconds = 1;
constexpr int64_t kMaxBytes = 100'000'000;
