// SHA-256 (FIPS 180-4), for fingerprints of data, keys of the feature store and test fixtures.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mode_ensemble {

class Sha256 {
 public:
  // `portable`: without the processor's own instructions, for tests.
  explicit Sha256(bool portable = false) : portable_(portable) {}
  void update(const void* bytes, size_t size);
  void update(std::string_view text) { update(text.data(), text.size()); }
  // Its eight bytes, least significant first, so that numbers need no separator between them.
  void update_number(uint64_t number);
  // Lower-case hex. Ends the sum: call it once.
  std::string hex();

 private:
  void blocks(const uint8_t* bytes, size_t count);  // of 64 bytes

  std::array<uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<uint8_t, 64> rest_{};  // what is left of the bytes so far, fewer than 64
  size_t rest_size_ = 0;
  uint64_t total_ = 0;
  bool portable_;
};

std::string sha256_hex(const void* bytes, size_t size);
inline std::string sha256_hex(std::string_view text) { return sha256_hex(text.data(), text.size()); }

}  // namespace mode_ensemble
