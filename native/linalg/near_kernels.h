// The inner loops of the search for nearest neighbours: for any machine, for AVX2 and for AVX-512 with VNNI.
// All add integers, so that their dot products are the same everywhere.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace mode_ensemble {

inline constexpr int kPanel = 32;  // rows of the bank that are looked at together
inline constexpr int kGroup = 12;  // queries that are: with two registers of sums each they fill AVX-512's

// 32 rows of 8-bit codes, four numbers of a row side by side: what one VNNI instruction takes.
struct PanelView {
  const uint8_t* codes;  // [quads, kPanel, 4], each code + 128
  const float* scale;    // [kPanel]
  const float* half;     // [kPanel], half the squared norm of scale · code
};

struct GroupView {
  const int8_t* codes;   // [kGroup, 4 · quads]
  const int32_t* start;  // [kGroup], −128 · the sum of the codes, which takes the panel's 128 away
  const float* scale;    // [kGroup]
};

struct NearKernels {
  // Bit r of marks[i] is set where scale_i · scale_r · (code_i · code_r) − half_r ≥ least[i].
  void (*mark)(const GroupView& group, const PanelView& panel, int64_t quads, const float* least,
               uint32_t* marks);
  // Σ a · b over `n` numbers, a multiple of 32; the sum must fit into 32 bits.
  int32_t (*dot)(const int16_t* a, const int16_t* b, int64_t n);
  const char* name;
};

// The fastest that this machine can run.
const NearKernels& near_kernels();
// For tests: all that it can run, the fastest first.
std::vector<NearKernels> all_near_kernels();

}  // namespace mode_ensemble
