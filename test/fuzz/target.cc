// What libFuzzer and driver.cc call with each input, whatever reads it.
#include <cstdio>
#include <cstdlib>

#include "exercise.h"
#include "usage.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  begin_usage();
  exercise(data, size, "fuzzed");
  const Usage usage = end_usage();
  if (usage.seconds > kMaxSeconds || usage.bytes > kMaxBytes) {
    std::fprintf(stderr, "LIMIT: %.2f seconds, %lld bytes of memory\n", usage.seconds,
                 static_cast<long long>(usage.bytes));
    std::abort();
  }
  return 0;
}
