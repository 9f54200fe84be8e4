#include "checkpoint/dtype.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

namespace mode_ensemble {
namespace {

struct Row {
  DType type;
  int64_t size;
  const char* safetensors;
  const char* name;
  const char* storage;
};

constexpr Row kRows[] = {
    {DType::f32, 4, "F32", "float32", "FloatStorage"},
    {DType::f64, 8, "F64", "float64", "DoubleStorage"},
    {DType::f16, 2, "F16", "float16", "HalfStorage"},
    {DType::bf16, 2, "BF16", "bfloat16", "BFloat16Storage"},
    {DType::i64, 8, "I64", "int64", "LongStorage"},
    {DType::i32, 4, "I32", "int32", "IntStorage"},
    {DType::i16, 2, "I16", "int16", "ShortStorage"},
    {DType::i8, 1, "I8", "int8", "CharStorage"},
    {DType::u8, 1, "U8", "uint8", "ByteStorage"},
    {DType::u16, 2, "U16", "uint16", ""},
    {DType::u32, 4, "U32", "uint32", ""},
    {DType::u64, 8, "U64", "uint64", ""},
    {DType::boolean, 1, "BOOL", "bool", "BoolStorage"},
    {DType::c32, 4, "", "complex32", ""},
    {DType::c64, 8, "C64", "complex64", "ComplexFloatStorage"},
    {DType::c128, 16, "", "complex128", "ComplexDoubleStorage"},
    {DType::f8_e4m3, 1, "F8_E4M3", "float8_e4m3fn", ""},
    {DType::f8_e5m2, 1, "F8_E5M2", "float8_e5m2", ""},
    {DType::f8_e4m3fnuz, 1, "", "float8_e4m3fnuz", ""},
    {DType::f8_e5m2fnuz, 1, "", "float8_e5m2fnuz", ""},
    {DType::f8_e8m0, 1, "F8_E8M0", "float8_e8m0fnu", ""},
};

const Row& row(DType type) { return kRows[static_cast<size_t>(type)]; }

struct Alias {
  std::string_view name;
  DType type;
};

constexpr Alias kNames[] = {{"float", DType::f32},    {"double", DType::f64}, {"half", DType::f16},
                            {"long", DType::i64},     {"int", DType::i32},    {"short", DType::i16},
                            {"chalf", DType::c32},    {"cfloat", DType::c64}, {"cdouble", DType::c128},
                            {"complex32", DType::c32}};

constexpr Alias kStorages[] = {{"QInt8Storage", DType::i8},       {"QUInt8Storage", DType::u8},
                               {"QInt32Storage", DType::i32},     {"QUInt4x2Storage", DType::u8},
                               {"QUInt2x4Storage", DType::u8},    {"UntypedStorage", DType::u8},
                               {"ComplexHalfStorage", DType::c32}};

struct Half {
  uint16_t bits;
};
struct Brain {
  uint16_t bits;
};
struct Bool {
  uint8_t byte;
};

float widen(Half half) {
  const uint32_t sign = static_cast<uint32_t>(half.bits & 0x8000) << 16;
  const uint32_t exponent = (half.bits >> 10) & 31, fraction = half.bits & 1023;
  // Subnormal: fraction · 2^-24, exact in float32.
  if (exponent == 0) {
    const float value = static_cast<float>(fraction) * 0x1p-24f;
    return sign ? -value : value;
  }
  const uint32_t wide = exponent == 31 ? 255 : exponent + 112;
  return std::bit_cast<float>(sign | (wide << 23) | (fraction << 13));
}
float widen(Brain brain) { return std::bit_cast<float>(static_cast<uint32_t>(brain.bits) << 16); }
uint8_t widen(Bool value) { return value.byte != 0; }
template <class T>
T widen(T value) {
  return value;
}

// Every float32 and float64 below 2^63 (2^64) in magnitude fits int64 (uint64) after truncation.
template <class To, class From>
bool fits(From value) {
  if constexpr (std::is_floating_point_v<From>) {
    const From low = static_cast<From>(std::numeric_limits<To>::min());
    const From high = std::ldexp(From{1}, std::numeric_limits<To>::digits);
    const From whole = std::trunc(value);
    return whole >= low && whole < high;  // false for NaN
  } else if constexpr (std::is_signed_v<From> == std::is_signed_v<To>) {
    return value >= std::numeric_limits<To>::min() && value <= std::numeric_limits<To>::max();
  } else if constexpr (std::is_signed_v<From>) {
    return value >= 0 && static_cast<std::make_unsigned_t<From>>(value) <= std::numeric_limits<To>::max();
  } else {
    return value <= static_cast<std::make_unsigned_t<To>>(std::numeric_limits<To>::max());
  }
}

template <class From, class To>
bool run(const uint8_t* source, uint8_t* target, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    From from;
    std::memcpy(&from, source + i * static_cast<int64_t>(sizeof(From)), sizeof(From));
    const auto value = widen(from);
    if constexpr (std::is_same_v<To, Bool>) {
      const Bool to{static_cast<uint8_t>(value != 0)};
      std::memcpy(target + i, &to, 1);
    } else {
      if constexpr (std::is_integral_v<To>)
        if (!fits<To>(value)) return false;
      const To to = static_cast<To>(value);
      std::memcpy(target + i * static_cast<int64_t>(sizeof(To)), &to, sizeof(To));
    }
  }
  return true;
}

template <class From>
bool run_from(DType to, const uint8_t* source, uint8_t* target, int64_t n) {
  switch (to) {
    case DType::f32:
      return run<From, float>(source, target, n);
    case DType::f64:
      return run<From, double>(source, target, n);
    case DType::i64:
      return run<From, int64_t>(source, target, n);
    case DType::i32:
      return run<From, int32_t>(source, target, n);
    case DType::i16:
      return run<From, int16_t>(source, target, n);
    case DType::i8:
      return run<From, int8_t>(source, target, n);
    case DType::u8:
      return run<From, uint8_t>(source, target, n);
    case DType::u16:
      return run<From, uint16_t>(source, target, n);
    case DType::u32:
      return run<From, uint32_t>(source, target, n);
    case DType::u64:
      return run<From, uint64_t>(source, target, n);
    case DType::boolean:
      return run<From, Bool>(source, target, n);
    default:
      return false;
  }
}

bool plain(DType type) { return type <= DType::boolean; }
bool real(DType type) { return type <= DType::bf16; }

}  // namespace

int64_t size_of(DType type) { return row(type).size; }
const char* safetensors_name(DType type) { return row(type).safetensors; }
const char* dtype_name(DType type) { return row(type).name; }
const char* storage_name(DType type) { return row(type).storage; }

std::optional<DType> dtype_from_safetensors(std::string_view name) {
  for (const Row& r : kRows)
    if (!name.empty() && name == r.safetensors) return r.type;
  return std::nullopt;
}

std::optional<DType> dtype_from_name(std::string_view name) {
  for (const Row& r : kRows)
    if (name == r.name) return r.type;
  for (const Alias& alias : kNames)
    if (name == alias.name) return alias.type;
  return std::nullopt;
}

std::optional<DType> dtype_from_storage(std::string_view name) {
  for (const Row& r : kRows)
    if (!name.empty() && name == r.storage) return r.type;
  for (const Alias& alias : kStorages)
    if (name == alias.name) return alias.type;
  return std::nullopt;
}

bool convertible(DType from, DType to) {
  if (from == to) return true;
  if (!plain(from) || !plain(to)) return false;
  if (to == DType::f16 || to == DType::bf16) return false;
  return !(to == DType::boolean && real(from));
}

bool convert_elements(DType from, const void* source, DType to, void* target, int64_t n) {
  if (from == to) {
    if (n > 0) std::memcpy(target, source, static_cast<size_t>(n * size_of(to)));
    return true;
  }
  const auto* bytes = static_cast<const uint8_t*>(source);
  auto* out = static_cast<uint8_t*>(target);
  switch (from) {
    case DType::f32:
      return run_from<float>(to, bytes, out, n);
    case DType::f64:
      return run_from<double>(to, bytes, out, n);
    case DType::f16:
      return run_from<Half>(to, bytes, out, n);
    case DType::bf16:
      return run_from<Brain>(to, bytes, out, n);
    case DType::i64:
      return run_from<int64_t>(to, bytes, out, n);
    case DType::i32:
      return run_from<int32_t>(to, bytes, out, n);
    case DType::i16:
      return run_from<int16_t>(to, bytes, out, n);
    case DType::i8:
      return run_from<int8_t>(to, bytes, out, n);
    case DType::u8:
      return run_from<uint8_t>(to, bytes, out, n);
    case DType::u16:
      return run_from<uint16_t>(to, bytes, out, n);
    case DType::u32:
      return run_from<uint32_t>(to, bytes, out, n);
    case DType::u64:
      return run_from<uint64_t>(to, bytes, out, n);
    case DType::boolean:
      return run_from<Bool>(to, bytes, out, n);
    default:
      return false;
  }
}

void swap_bytes(void* data, int64_t n, int64_t size) {
  auto* bytes = static_cast<uint8_t*>(data);
  if (size < 2) return;
  for (int64_t i = 0; i < n; ++i) std::reverse(bytes + i * size, bytes + (i + 1) * size);
}

}  // namespace mode_ensemble
