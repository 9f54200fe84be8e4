#include "data/resize_kernels.h"

#include <algorithm>
#include <cstring>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define ME_AVX2 __attribute__((target("avx2")))
#endif

namespace mode_ensemble {
namespace {

template <bool kRough>
constexpr int kBits = kRough ? kRoughBits : kWeightBits;

template <bool kRough>
constexpr int32_t kHalf = 1 << (kBits<kRough> - 1);

template <bool kRough>
uint8_t to_byte(int32_t sum) {
  return static_cast<uint8_t>(std::clamp(sum >> kBits<kRough>, 0, 255));
}

template <bool kRough>
void across(const uint8_t* from, size_t from_stride, int rows, const Taps& taps, uint8_t* to,
            size_t to_stride) {
  const size_t outputs = taps.first.size();
  for (int y = 0; y < rows; ++y) {
    const uint8_t* line = from + from_stride * static_cast<size_t>(y);
    uint8_t* out = to + to_stride * static_cast<size_t>(y);
    for (size_t x = 0; x < outputs; ++x, out += 3) {
      const uint8_t* pixel = line + size_t{3} * static_cast<size_t>(taps.first[x]);
      const int32_t* weight = taps.weight.data() + x * static_cast<size_t>(taps.stride);
      int32_t r = kHalf<kRough>, g = r, b = r;
      for (int k = 0; k < taps.count[x]; ++k, pixel += 3) {
        r += pixel[0] * weight[k];
        g += pixel[1] * weight[k];
        b += pixel[2] * weight[k];
      }
      out[0] = to_byte<kRough>(r), out[1] = to_byte<kRough>(g), out[2] = to_byte<kRough>(b);
    }
  }
}

template <bool kRough>
void down(const uint8_t* from, size_t from_stride, int bytes, const Taps& taps, int y, uint8_t* to) {
  const int32_t* weight = taps.weight.data() + static_cast<size_t>(y) * static_cast<size_t>(taps.stride);
  const uint8_t* top = from + from_stride * static_cast<size_t>(taps.first[y]);
  const int count = taps.count[y];
  constexpr int kBlock = 256;  // sums that stay in the nearest cache
  int32_t sums[kBlock];
  for (int begin = 0; begin < bytes; begin += kBlock) {
    const int size = std::min(kBlock, bytes - begin);
    std::fill_n(sums, size, kHalf<kRough>);
    for (int k = 0; k < count; ++k) {
      const uint8_t* line = top + from_stride * static_cast<size_t>(k) + begin;
      for (int i = 0; i < size; ++i) sums[i] += line[i] * weight[k];
    }
    for (int i = 0; i < size; ++i) to[begin + i] = to_byte<kRough>(sums[i]);
  }
}

#ifdef ME_AVX2

// Sums of low and high halves are kept apart and joined modulo 2^32, which is exact: the whole sum fits.
template <bool kRough>
ME_AVX2 inline __m256i joined(__m256i low, __m256i high) {
  if constexpr (kRough) return _mm256_srai_epi32(low, kRoughBits);
  return _mm256_srai_epi32(_mm256_add_epi32(low, _mm256_slli_epi32(high, 15)), kWeightBits);
}

ME_AVX2 inline __m256i spread(uint32_t pair) { return _mm256_set1_epi32(static_cast<int32_t>(pair)); }

ME_AVX2 inline void store_pixel(uint8_t* to, __m128i pixel) {
  const int32_t bytes = _mm_cvtsi128_si32(pixel);
  std::memcpy(to, &bytes, 4);  // the fourth byte is the next pixel's, or slack
}

// Two taps at once of two rows: a row's half of the register is R R G G B B 0 0 as 16-bit numbers.
ME_AVX2 inline __m256i two_taps(const uint8_t* row0, const uint8_t* row1, __m256i order) {
  const __m128i two0 = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(row0));
  const __m128i two1 = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(row1));
  return _mm256_shuffle_epi8(_mm256_set_m128i(two1, two0), order);
}

ME_AVX2 inline void store_two(uint8_t* to0, uint8_t* to1, __m256i sum) {
  const __m256i words = _mm256_packs_epi32(sum, sum);
  const __m256i bytes = _mm256_packus_epi16(words, words);
  store_pixel(to0, _mm256_castsi256_si128(bytes));
  store_pixel(to1, _mm256_extracti128_si256(bytes, 1));
}

// Four rows at once, so that weights and places are looked up once for all of them.
template <bool kRough>
ME_AVX2 void across_avx2(const uint8_t* from, size_t from_stride, int rows, const Taps& taps, uint8_t* to,
                         size_t to_stride) {
  const __m256i order =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1));
  const auto outputs = static_cast<int>(taps.first.size());
  const auto half = static_cast<size_t>(taps.stride / 2);
  for (int y = 0; y < rows; y += 4) {
    // Where fewer than four are left, the last one stands for those that are not there.
    const uint8_t* line[4];
    uint8_t* out[4];
    for (int i = 0; i < 4; ++i) {
      const auto row = static_cast<size_t>(std::min(y + i, rows - 1));
      line[i] = from + from_stride * row;
      out[i] = to + to_stride * row;
    }
    for (int x = 0; x < outputs; ++x) {
      size_t at = size_t{3} * static_cast<size_t>(taps.first[x]);
      const uint32_t* low = taps.low.data() + static_cast<size_t>(x) * half;
      const uint32_t* high = kRough ? low : taps.high.data() + static_cast<size_t>(x) * half;
      __m256i low0 = _mm256_set1_epi32(kHalf<kRough>), low1 = low0;
      __m256i high0 = _mm256_setzero_si256(), high1 = high0;
      for (int k = 0; k < taps.count[x]; k += 2, at += 6, ++low, ++high) {
        const __m256i low_pair = spread(*low);
        const __m256i upper = two_taps(line[0] + at, line[1] + at, order);
        const __m256i lower = two_taps(line[2] + at, line[3] + at, order);
        low0 = _mm256_add_epi32(low0, _mm256_madd_epi16(upper, low_pair));
        low1 = _mm256_add_epi32(low1, _mm256_madd_epi16(lower, low_pair));
        if constexpr (!kRough) {
          const __m256i high_pair = spread(*high);
          high0 = _mm256_add_epi32(high0, _mm256_madd_epi16(upper, high_pair));
          high1 = _mm256_add_epi32(high1, _mm256_madd_epi16(lower, high_pair));
        }
      }
      const size_t pixel = size_t{3} * static_cast<size_t>(x);
      store_two(out[0] + pixel, out[1] + pixel, joined<kRough>(low0, high0));
      store_two(out[2] + pixel, out[3] + pixel, joined<kRough>(low1, high1));
    }
  }
}

template <bool kRough>
ME_AVX2 void down_avx2(const uint8_t* from, size_t from_stride, int bytes, const Taps& taps, int y,
                       uint8_t* to) {
  const int half = taps.stride / 2;
  const uint32_t* low = taps.low.data() + static_cast<size_t>(y) * half;
  const uint32_t* high = kRough ? low : taps.high.data() + static_cast<size_t>(y) * half;
  const uint8_t* top = from + from_stride * static_cast<size_t>(taps.first[y]);
  const int count = taps.count[y];
  for (int x = 0; x < bytes; x += 16) {
    __m256i low0 = _mm256_set1_epi32(kHalf<kRough>), low1 = low0;
    __m256i high0 = _mm256_setzero_si256(), high1 = high0;
    const uint8_t* line = top + x;
    for (int k = 0; k < count; k += 2, line += 2 * from_stride) {
      // Behind the last tap stands a weight of zero; its row may not be there.
      const uint8_t* below = k + 1 < count ? line + from_stride : line;
      const __m256i a = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(line)));
      const __m256i b = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(below)));
      const __m256i first = _mm256_unpacklo_epi16(a, b), second = _mm256_unpackhi_epi16(a, b);
      const __m256i low_pair = spread(low[k / 2]);
      low0 = _mm256_add_epi32(low0, _mm256_madd_epi16(first, low_pair));
      low1 = _mm256_add_epi32(low1, _mm256_madd_epi16(second, low_pair));
      if constexpr (!kRough) {
        const __m256i high_pair = spread(high[k / 2]);
        high0 = _mm256_add_epi32(high0, _mm256_madd_epi16(first, high_pair));
        high1 = _mm256_add_epi32(high1, _mm256_madd_epi16(second, high_pair));
      }
    }
    const __m256i words = _mm256_packs_epi32(joined<kRough>(low0, high0), joined<kRough>(low1, high1));
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi16(words, words), 0b1000);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + x), _mm256_castsi256_si128(packed));
  }
}

constexpr ResizeKernels kAvx2{{across_avx2<false>, down_avx2<false>}, {across_avx2<true>, down_avx2<true>}};
#endif

constexpr ResizeKernels kPortable{{across<false>, down<false>}, {across<true>, down<true>}};

const ResizeKernels& choose() {
#ifdef ME_AVX2
  if (__builtin_cpu_supports("avx2")) return kAvx2;
#endif
  return kPortable;
}

}  // namespace

const ResizeKernels& resize_kernels() {
  static const ResizeKernels& chosen = choose();
  return chosen;
}

const ResizeKernels& portable_resize_kernels() { return kPortable; }

}  // namespace mode_ensemble
