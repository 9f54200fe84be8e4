// Named streams of a seed: every random choice is a function of (seed, name, counters) alone, so that it does
// not depend on the number of threads or on what was drawn before.
#pragma once
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace mode_ensemble {

// SplitMix64 (Steele, Lea, Flood 2014), with the constants of its reference implementation.
class RandomStream {
 public:
  RandomStream(uint64_t seed, std::string_view name, uint64_t a = 0, uint64_t b = 0) : state_(seed) {
    uint64_t hash = 0xcbf29ce484222325ull;  // FNV-1a over the name
    for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
    for (const uint64_t word : {hash, a, b}) state_ = mix(state_ ^ mix(word + 0x9e3779b97f4a7c15ull));
  }

  uint64_t next() {
    state_ += 0x9e3779b97f4a7c15ull;
    return mix(state_);
  }

  // Uniform in [0, n); multiply-shift, whose bias is below n / 2^32.
  uint32_t below(uint32_t n) { return static_cast<uint32_t>(((next() >> 32) * n) >> 32); }

 private:
  static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }

  uint64_t state_;
};

// A permutation of 0 … n−1 (Fisher–Yates).
inline std::vector<int64_t> permutation(int64_t n, RandomStream stream) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) order[i] = i;
  for (int64_t i = n - 1; i > 0; --i)
    std::swap(order[i], order[stream.next() % static_cast<uint64_t>(i + 1)]);
  return order;
}

}  // namespace mode_ensemble
