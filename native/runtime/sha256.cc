#include "runtime/sha256.h"

#include <algorithm>
#include <bit>
#include <cstring>

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#include <immintrin.h>
#define ME_SHA __attribute__((target("sha,sse4.1")))
#endif

namespace mode_ensemble {
namespace {

// FIPS 180-4, section 4.2.2: the first 32 bits of the fractional parts of the cube roots of the first 64
// primes.
constexpr uint32_t kRound[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

// The compression of one block, as section 6.2.2 writes it.
void block(uint32_t* state, const uint8_t* bytes) {
  uint32_t w[64];
  for (int t = 0; t < 16; ++t) {
    w[t] = uint32_t{bytes[4 * t]} << 24 | uint32_t{bytes[4 * t + 1]} << 16 | uint32_t{bytes[4 * t + 2]} << 8 |
           uint32_t{bytes[4 * t + 3]};
  }
  for (int t = 16; t < 64; ++t) {
    const uint32_t s0 = std::rotr(w[t - 15], 7) ^ std::rotr(w[t - 15], 18) ^ (w[t - 15] >> 3);
    const uint32_t s1 = std::rotr(w[t - 2], 17) ^ std::rotr(w[t - 2], 19) ^ (w[t - 2] >> 10);
    w[t] = w[t - 16] + s0 + w[t - 7] + s1;
  }
  uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
  uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
  for (int t = 0; t < 64; ++t) {
    const uint32_t s1 = std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25);
    const uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + kRound[t] + w[t];
    const uint32_t s0 = std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22);
    const uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
    h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
  }
  const uint32_t after[8] = {a, b, c, d, e, f, g, h};
  for (int i = 0; i < 8; ++i) state[i] += after[i];
}

void blocks(uint32_t* state, const uint8_t* bytes, size_t count) {
  for (size_t i = 0; i < count; ++i) block(state, bytes + 64 * i);
}

#ifdef ME_SHA
// The same with the processor's SHA instructions (Intel, "SHA Extensions"), which want the state as the
// halves A B E F and C D G H and do four rounds to each group of four words. Some eight times as fast.
ME_SHA void blocks_sha(uint32_t* state, const uint8_t* bytes, size_t count) {
  const __m128i big_endian = _mm_setr_epi8(3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12);
  auto* words = reinterpret_cast<__m128i*>(state);
  const __m128i badc = _mm_shuffle_epi32(_mm_loadu_si128(words), 0b10110001);
  const __m128i hgfe = _mm_shuffle_epi32(_mm_loadu_si128(words + 1), 0b00011011);
  __m128i abef = _mm_alignr_epi8(badc, hgfe, 8);
  __m128i cdgh = _mm_blend_epi16(hgfe, badc, 0xf0);
  for (; count > 0; --count, bytes += 64) {
    const __m128i abef_before = abef, cdgh_before = cdgh;
    __m128i w[4];
    for (int group = 0; group < 16; ++group) {
      __m128i& now = w[group % 4];
      if (group < 4) {
        now = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes) + group), big_endian);
      } else {
        // `now` still holds the words of 16 places ago.
        const __m128i& ago12 = w[(group + 1) % 4];
        const __m128i& ago8 = w[(group + 2) % 4];
        const __m128i& ago4 = w[(group + 3) % 4];
        const __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(now, ago12), _mm_alignr_epi8(ago4, ago8, 4));
        now = _mm_sha256msg2_epu32(sum, ago4);
      }
      const __m128i keyed =
          _mm_add_epi32(now, _mm_loadu_si128(reinterpret_cast<const __m128i*>(kRound + 4 * group)));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, keyed);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(keyed, 0b1110));
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }
  const __m128i feba = _mm_shuffle_epi32(abef, 0b00011011);
  const __m128i dchg = _mm_shuffle_epi32(cdgh, 0b10110001);
  _mm_storeu_si128(words, _mm_blend_epi16(feba, dchg, 0xf0));
  _mm_storeu_si128(words + 1, _mm_alignr_epi8(dchg, feba, 8));
}

bool has_sha() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  return (b >> 29 & 1) != 0 && __builtin_cpu_supports("sse4.1");
}
#endif

using Blocks = void (*)(uint32_t* state, const uint8_t* bytes, size_t count);

Blocks fastest_blocks() {
#ifdef ME_SHA
  if (has_sha()) return blocks_sha;
#endif
  return blocks;
}

}  // namespace

void Sha256::blocks(const uint8_t* bytes, size_t count) {
  static const Blocks fastest = fastest_blocks();
  (portable_ ? mode_ensemble::blocks : fastest)(state_.data(), bytes, count);
}

void Sha256::update(const void* bytes, size_t size) {
  if (size == 0) return;
  const uint8_t* next = static_cast<const uint8_t*>(bytes);
  total_ += size;
  if (rest_size_ > 0) {
    const size_t part = std::min(size, rest_.size() - rest_size_);
    std::memcpy(rest_.data() + rest_size_, next, part);
    rest_size_ += part, next += part, size -= part;
    if (rest_size_ < rest_.size()) return;
    blocks(rest_.data(), 1);
    rest_size_ = 0;
  }
  blocks(next, size / 64);
  next += size / 64 * 64;
  size %= 64;
  if (size > 0) std::memcpy(rest_.data(), next, size);
  rest_size_ = size;
}

void Sha256::update_number(uint64_t number) {
  uint8_t bytes[8];
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<uint8_t>(number >> (8 * i));
  update(bytes, sizeof bytes);
}

std::string Sha256::hex() {
  const uint64_t bits = total_ * 8;
  static constexpr uint8_t kPadding[64] = {0x80};
  update(kPadding, rest_size_ < 56 ? 56 - rest_size_ : 120 - rest_size_);
  uint8_t length[8];
  for (int i = 0; i < 8; ++i) length[i] = static_cast<uint8_t>(bits >> (56 - 8 * i));
  update(length, sizeof length);
  std::string text;
  text.reserve(64);
  for (const uint32_t word : state_) {
    for (int shift = 28; shift >= 0; shift -= 4) text += "0123456789abcdef"[(word >> shift) & 15];
  }
  return text;
}

std::string sha256_hex(const void* bytes, size_t size) {
  Sha256 sum;
  sum.update(bytes, size);
  return sum.hex();
}

}  // namespace mode_ensemble
