// What the tests of this folder have in common.
#pragma once
#include <cstdio>
#include <string>

// How many expectations did not hold, of all files together.
inline int failed = 0;

inline void expect(bool is_true, const std::string& what) {
  if (is_true) return;
  ++failed;
  std::printf("FAILED: %s\n", what.c_str());
}
