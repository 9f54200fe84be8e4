#include "linalg/near_kernels.h"

#include <cstring>

#if defined(__x86_64__) && defined(__GNUC__)
// GCC 12 calls the undefined registers of its own header uninitialised.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#define ME_AVX2 __attribute__((target("avx2,fma")))
#define ME_VNNI __attribute__((target("avx512f,avx512bw,avx512vnni")))
#endif

namespace mode_ensemble {
namespace {

void mark(const GroupView& group, const PanelView& panel, int64_t quads, const float* least,
          uint32_t* marks) {
  for (int i = 0; i < kGroup; ++i) {
    int32_t sums[kPanel];
    for (int32_t& sum : sums) sum = group.start[i];
    const int8_t* query = group.codes + i * 4 * quads;
    const uint8_t* codes = panel.codes;
    for (int64_t quad = 0; quad < quads; ++quad, query += 4, codes += 4 * kPanel)
      for (int r = 0; r < kPanel; ++r)
        for (int d = 0; d < 4; ++d) sums[r] += query[d] * codes[4 * r + d];
    uint32_t bits = 0;
    for (int r = 0; r < kPanel; ++r) {
      const float value = static_cast<float>(sums[r]) * panel.scale[r] * group.scale[i] - panel.half[r];
      bits |= static_cast<uint32_t>(value >= least[i]) << r;
    }
    marks[i] = bits;
  }
}

int32_t dot(const int16_t* a, const int16_t* b, int64_t n) {
  int32_t sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

#ifdef ME_AVX2

// Four queries and eight rows at once; codes become 16-bit numbers, since the 8-bit product of AVX2
// saturates.
ME_AVX2 void mark_avx2(const GroupView& group, const PanelView& panel, int64_t quads, const float* least,
                       uint32_t* marks) {
  std::memset(marks, 0, kGroup * sizeof *marks);
  for (int i = 0; i < kGroup; i += 4) {
    for (int r = 0; r < kPanel; r += 8) {
      // Sums of the first and of the second pair of numbers of rows r…r+3 and r+4…r+7, side by side.
      __m256i low[4], high[4];
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) low[j] = high[j] = _mm256_setzero_si256();
      const uint8_t* codes = panel.codes + size_t{4} * static_cast<size_t>(r);
      const int8_t* query = group.codes + i * 4 * quads;
      for (int64_t quad = 0; quad < quads; ++quad, codes += 4 * kPanel, query += 4) {
        const __m256i first = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)));
        const __m256i second =
            _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + 16)));
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) {
          int32_t four;
          std::memcpy(&four, query + j * 4 * quads, 4);
          const __m256i q = _mm256_broadcastq_epi64(_mm_cvtepi8_epi16(_mm_cvtsi32_si128(four)));
          low[j] = _mm256_add_epi32(low[j], _mm256_madd_epi16(first, q));
          high[j] = _mm256_add_epi32(high[j], _mm256_madd_epi16(second, q));
        }
      }
      for (int j = 0; j < 4; ++j) {
        // hadd works in halves of 128 bits: rows 0 1 4 5 2 3 6 7.
        const __m256i sums =
            _mm256_add_epi32(_mm256_permute4x64_epi64(_mm256_hadd_epi32(low[j], high[j]), 0b11011000),
                             _mm256_set1_epi32(group.start[i + j]));
        const __m256 scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), _mm256_loadu_ps(panel.scale + r));
        const __m256 value =
            _mm256_fmsub_ps(scaled, _mm256_set1_ps(group.scale[i + j]), _mm256_loadu_ps(panel.half + r));
        const __m256 passed = _mm256_cmp_ps(value, _mm256_set1_ps(least[i + j]), _CMP_GE_OQ);
        marks[i + j] |= static_cast<uint32_t>(_mm256_movemask_ps(passed)) << r;
      }
    }
  }
}

ME_AVX2 inline __m256i load(const int16_t* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

ME_AVX2 int32_t dot_avx2(const int16_t* a, const int16_t* b, int64_t n) {
  __m256i sum0 = _mm256_setzero_si256(), sum1 = sum0;
  for (int64_t i = 0; i < n; i += 32) {
    sum0 = _mm256_add_epi32(sum0, _mm256_madd_epi16(load(a + i), load(b + i)));
    sum1 = _mm256_add_epi32(sum1, _mm256_madd_epi16(load(a + i + 16), load(b + i + 16)));
  }
  sum0 = _mm256_add_epi32(sum0, sum1);
  __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(sum0), _mm256_extracti128_si256(sum0, 1));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0b01001110));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0b10110001));
  return _mm_cvtsi128_si32(sum);
}

// 24 sums stay in registers. GCC 12 copies the sum before each _mm512_dpbusd_epi32 and then spills the
// copies, which halves the speed; as a line of assembly it is left alone.
ME_VNNI void mark_vnni(const GroupView& group, const PanelView& panel, int64_t quads, const float* least,
                       uint32_t* marks) {
  __m512i low[kGroup], high[kGroup];
#pragma GCC unroll 12
  for (int i = 0; i < kGroup; ++i) low[i] = high[i] = _mm512_set1_epi32(group.start[i]);
  const uint8_t* codes = panel.codes;
  const int8_t* query = group.codes;
  const int64_t stride = 4 * quads;
  for (int64_t quad = 0; quad < quads; ++quad, codes += 4 * kPanel, query += 4) {
    const __m512i first = _mm512_loadu_si512(codes), second = _mm512_loadu_si512(codes + 64);
#pragma GCC unroll 12
    for (int i = 0; i < kGroup; ++i) {
      int32_t four;
      std::memcpy(&four, query + i * stride, 4);
      const __m512i q = _mm512_set1_epi32(four);
      asm("vpdpbusd %2, %1, %0" : "+v"(low[i]) : "v"(first), "v"(q));
      asm("vpdpbusd %2, %1, %0" : "+v"(high[i]) : "v"(second), "v"(q));
    }
  }
  const __m512 scale0 = _mm512_loadu_ps(panel.scale), scale1 = _mm512_loadu_ps(panel.scale + 16);
  const __m512 half0 = _mm512_loadu_ps(panel.half), half1 = _mm512_loadu_ps(panel.half + 16);
#pragma GCC unroll 12
  for (int i = 0; i < kGroup; ++i) {
    const __m512 scale = _mm512_set1_ps(group.scale[i]), bound = _mm512_set1_ps(least[i]);
    const __m512 value0 = _mm512_fmsub_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(low[i]), scale0), scale, half0);
    const __m512 value1 = _mm512_fmsub_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(high[i]), scale1), scale, half1);
    marks[i] = static_cast<uint32_t>(_mm512_cmp_ps_mask(value0, bound, _CMP_GE_OQ)) |
               static_cast<uint32_t>(_mm512_cmp_ps_mask(value1, bound, _CMP_GE_OQ)) << 16;
  }
}

ME_VNNI int32_t dot_vnni(const int16_t* a, const int16_t* b, int64_t n) {
  __m512i sum0 = _mm512_setzero_si512(), sum1 = sum0;
  int64_t i = 0;
  for (; i + 64 <= n; i += 64) {
    sum0 = _mm512_add_epi32(sum0, _mm512_madd_epi16(_mm512_loadu_si512(a + i), _mm512_loadu_si512(b + i)));
    sum1 = _mm512_add_epi32(
        sum1, _mm512_madd_epi16(_mm512_loadu_si512(a + i + 32), _mm512_loadu_si512(b + i + 32)));
  }
  if (i < n)
    sum0 = _mm512_add_epi32(sum0, _mm512_madd_epi16(_mm512_loadu_si512(a + i), _mm512_loadu_si512(b + i)));
  return _mm512_reduce_add_epi32(_mm512_add_epi32(sum0, sum1));
}

#endif

}  // namespace

std::vector<NearKernels> all_near_kernels() {
  std::vector<NearKernels> kernels;
#ifdef ME_AVX2
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vnni"))
    kernels.push_back({mark_vnni, dot_vnni, "avx512-vnni"});
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    kernels.push_back({mark_avx2, dot_avx2, "avx2"});
#endif
  kernels.push_back({mark, dot, "portable"});
  return kernels;
}

const NearKernels& near_kernels() {
  static const NearKernels fastest = all_near_kernels().front();
  return fastest;
}

}  // namespace mode_ensemble
