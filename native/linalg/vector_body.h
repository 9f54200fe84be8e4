// Vectors of LANES floats, loaded from and stored as float32 or bfloat16; for files that are compiled for one
// instruction set. No header with inline functions may be included here or by them: the linker could take
// that set's copy of such a function for the whole program.
#pragma once
#include <cstdint>

namespace mode_ensemble {
namespace {

typedef float Vector __attribute__((vector_size(LANES * 4)));
typedef float Loose __attribute__((vector_size(LANES * 4), aligned(4)));  // where memory is not aligned

inline Vector load(const float* from) { return *reinterpret_cast<const Loose*>(from); }
inline void store(float* to, Vector value) { *reinterpret_cast<Loose*>(to) = value; }

// Sixteen bits of a float32: bfloat16, rounded to the nearest, ties to even.
typedef unsigned short Halves __attribute__((vector_size(LANES * 2)));
typedef unsigned short LooseHalves __attribute__((vector_size(LANES * 2), aligned(2)));
typedef unsigned int Bits __attribute__((vector_size(LANES * 4)));

inline Vector load(const unsigned short* from) {
  const Halves halves = *reinterpret_cast<const LooseHalves*>(from);
#if LANES == 16 && defined(__GNUC__) && !defined(__clang__)
  // One instruction, of which GCC 12 makes six.
  typedef short Signed __attribute__((vector_size(32)));
  typedef int Wide __attribute__((vector_size(64)));
  const Bits bits = reinterpret_cast<Bits>(__builtin_ia32_pmovzxwd512_mask(
      reinterpret_cast<Signed>(halves), Wide{}, static_cast<unsigned short>(-1)));
#else
  const Bits bits = __builtin_convertvector(halves, Bits);
#endif
  return reinterpret_cast<Vector>(bits << 16);
}

inline void store(unsigned short* to, Vector value) {
  const Bits bits = reinterpret_cast<Bits>(value);
  const Bits rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  const Bits nan = Bits{} + 0x7FC0u;
  const Bits chosen = value == value ? rounded : nan;
  *reinterpret_cast<LooseHalves*>(to) = __builtin_convertvector(chosen, Halves);
}

// Less zero, not plus: that is the value itself, of -0 too, so that nothing is computed.
inline Vector all(float value) { return value - Vector{}; }

}  // namespace
}  // namespace mode_ensemble
