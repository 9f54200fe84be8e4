// Where a job computes, and how exactly.
#pragma once
#include <c10/core/Device.h>
#include <c10/core/Event.h>
#include <c10/core/ScalarType.h>
#include <c10/core/StreamGuard.h>

#include <array>
#include <optional>
#include <string>

namespace mode_ensemble {

struct Compute {
  // `device`: cpu | cuda:N. `precision`: float32 | float32-plain | tf32 | bfloat16 | float16, on a CPU no
  // tf32 and no float16; tf32 is float32 of which convolutions and matrix products read 10 bits of the
  // fraction, float32-plain goes through networks as they are written (see Network::prepare).
  // Throws Error(config) for anything else, Error(device) where there is no such device.
  Compute(const std::string& device, const std::string& precision);
  // On the CPU.
  explicit Compute(const std::string& precision) : Compute("cpu", precision) {}

  bool on_gpu() const { return device.is_cuda(); }
  // Throws Error(config) for float16, in which small gradients become zero.
  void require_gradients() const;

  at::Device device{at::kCPU};
  at::ScalarType type = at::kFloat;  // of convolutions and matrix products
  bool tf32 = false;
  bool plain = false;  // networks are not frozen
};

// While it lives, this thread's convolutions and matrix products run in the type of a Compute (LibTorch's
// autocast).
class Autocast {
 public:
  explicit Autocast(const Compute& compute);
  explicit Autocast(const std::string& precision) : Autocast(Compute(precision)) {}
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  at::DeviceType device_;
  bool on_;
};

// The device for as long as a job computes. On a GPU: a stream of the job's own, on which everything that its
// thread asks for runs in order; TF32 as asked for, and cuDNN tries its ways of a convolution and takes the
// fastest, both of which are settings of the whole process. On a CPU it does nothing.
class DeviceScope {
 public:
  explicit DeviceScope(const Compute& compute);
  ~DeviceScope();  // waits for the device, and gives memory that is free back to it
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

  // Until the device has done all it was asked for: before a clock is read.
  void wait() const;
  // Once a step: the device always has work, and this thread is never more than two steps ahead of it, so
  // that a job stops soon.
  void pace();

 private:
  at::Device device_;
  std::optional<c10::Stream> stream_;
  std::optional<c10::StreamGuard> guard_;
  std::array<std::optional<c10::Event>, 2> done_;  // of the steps with even and odd numbers
  size_t step_ = 0;
};

}  // namespace mode_ensemble
