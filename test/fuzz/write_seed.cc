// Writes a small checkpoint with our own writer: a seed of the fuzzing corpus. Usage: write_seed FILE [zip64]
#include "checkpoint/torch_writer.h"

using namespace mode_ensemble;

int main(int count, char** arguments) {
  if (count < 2) return 2;
  static const float weights[] = {1, 2, 3, 4, 5, 6};
  static const uint16_t numbers[] = {1, 2, 3};
  const std::vector<TensorToWrite> tensors{
      {{"conv.weight", DType::f32, {2, 3}}, [] { return static_cast<const void*>(weights); }},
      {{"numbers", DType::u16, {3}}, [] { return static_cast<const void*>(numbers); }},
      {{"empty", DType::i64, {0, 2}}, [] { return static_cast<const void*>(weights); }},
  };
  write_torch_zip(arguments[1], tensors, {{"arch", "x"}, {"settings", "{}"}}, count > 2 ? 0 : 0xffffffff);
}
