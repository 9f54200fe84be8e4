// Little-endian numbers, for files made by hand.
#pragma once
#include <cstdint>
#include <string>

inline std::string little(uint64_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i, value >>= 8) out += static_cast<char>(value & 255);
  return out;
}
