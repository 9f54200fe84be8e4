// Element types of checkpoints: their sizes and what the formats call them.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

namespace mode_ensemble {

// The last group is known for listing only: no network here has such weights.
enum class DType : uint8_t {
  f32,
  f64,
  f16,
  bf16,
  i64,
  i32,
  i16,
  i8,
  u8,
  u16,
  u32,
  u64,
  boolean,
  c32,
  c64,
  c128,
  f8_e4m3,
  f8_e5m2,
  f8_e4m3fnuz,
  f8_e5m2fnuz,
  f8_e8m0
};

int64_t size_of(DType type);               // bytes of one element
const char* safetensors_name(DType type);  // "F32", …; "" where that format has none
const char* dtype_name(DType type);        // "float32", …, as PyTorch says
const char* storage_name(DType type);      // "FloatStorage", …; "" where PyTorch saves an untyped storage

std::optional<DType> dtype_from_safetensors(std::string_view name);
std::optional<DType> dtype_from_name(std::string_view name);     // also "float", "half", "long", …
std::optional<DType> dtype_from_storage(std::string_view name);  // quantised storages as their integers

// Copies `n` elements between buffers that may be unaligned, as a C cast does. False where an element does
// not fit the integer type asked for (`target` is then partly written) or where convertible() says no.
bool convertible(DType from, DType to);
bool convert_elements(DType from, const void* source, DType to, void* target, int64_t n);

// Turns the bytes of each of `n` elements of `size` bytes round.
void swap_bytes(void* data, int64_t n, int64_t size);

}  // namespace mode_ensemble
