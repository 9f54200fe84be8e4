#include "runtime/compute.h"

#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <charconv>
#include <string_view>

#include "cuda/devices.h"
#include "runtime/error.h"

namespace mode_ensemble {
namespace {

struct PrecisionRow {
  std::string_view name;
  at::ScalarType type;
  bool tf32, on_cpu, plain;
};
constexpr std::array<PrecisionRow, 5> kPrecisions{{{"float32", at::kFloat, false, true, false},
                                                   {"float32-plain", at::kFloat, false, true, true},
                                                   {"tf32", at::kFloat, true, false, false},
                                                   {"bfloat16", at::kBFloat16, false, true, false},
                                                   {"float16", at::kHalf, false, false, false}}};

at::Device device_of(const std::string& name) {
  if (name == "cpu") return at::kCPU;
  constexpr std::string_view cuda = "cuda:";
  int64_t number = -1;
  if (name.starts_with(cuda)) {
    const char* end = name.data() + name.size();
    const auto read = std::from_chars(name.data() + cuda.size(), end, number);
    if (read.ec != std::errc() || read.ptr != end) number = -1;
  }
  if (number < 0) throw Error(ErrorCode::config, "device: expected cpu or cuda:N, found \"" + name + "\".");
  if (!built_with_cuda())
    throw Error(ErrorCode::device, "device: expected cpu, found " + name +
                                       "; this addon was built with a LibTorch without CUDA.");
  const auto count = static_cast<int64_t>(cuda_devices().size());
  if (number >= count)
    throw Error(ErrorCode::device, "device: expected " +
                                       (count == 0 ? std::string("cpu, since no GPU is seen")
                                                   : "cuda:0 to cuda:" + std::to_string(count - 1)) +
                                       ", found " + name + ".");
  return {at::kCUDA, static_cast<at::DeviceIndex>(number)};
}

}  // namespace

Compute::Compute(const std::string& device_name, const std::string& precision)
    : device(device_of(device_name)) {
  for (const auto& row : kPrecisions) {
    if (row.name != precision) continue;
    if (!on_gpu() && !row.on_cpu) break;
    type = row.type;
    tf32 = row.tf32;
    plain = row.plain;
    return;
  }
  throw Error(ErrorCode::config, std::string("precision: expected ") +
                                     (on_gpu() ? "float32, float32-plain, tf32, bfloat16 or float16"
                                               : "float32, float32-plain or bfloat16") +
                                     ", found \"" + precision + "\".");
}

void Compute::require_gradients() const {
  if (type == at::kHalf)
    throw Error(ErrorCode::config,
                "precision: expected float32, tf32 or bfloat16 where gradients are needed, found float16, in "
                "which small ones become zero.");
}

Autocast::Autocast(const Compute& compute) : device_(compute.device.type()), on_(compute.type != at::kFloat) {
  if (!on_) return;
  at::autocast::set_autocast_enabled(device_, true);
  at::autocast::set_autocast_dtype(device_, compute.type);
  at::autocast::increment_nesting();
}

Autocast::~Autocast() {
  if (!on_) return;
  // The cache holds rounded copies of the weights; they are stale once the weights move on.
  at::autocast::decrement_nesting();
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(device_, false);
}

DeviceScope::DeviceScope(const Compute& compute) : device_(compute.device) {
  if (!compute.on_gpu()) return;
  auto& context = at::globalContext();
  context.lazyInitDevice(at::kCUDA);
  context.setAllowTF32CuBLAS(compute.tf32);
  context.setAllowTF32CuDNN(compute.tf32);
  context.setBenchmarkCuDNN(true);
  // Not the default stream: CUDA graphs cannot be recorded there.
  stream_ = c10::impl::VirtualGuardImpl(at::kCUDA).getStreamFromGlobalPool(device_);
  guard_.emplace(*stream_);
}

DeviceScope::~DeviceScope() {
  if (!stream_) return;
  try {
    stream_->synchronize();
    empty_device_cache();
  } catch (...) {  // what failed on the device was thrown where its result was asked for
  }
}

void DeviceScope::wait() const {
  if (stream_) stream_->synchronize();
}

void DeviceScope::pace() {
  if (!stream_) return;
  auto& done = done_[step_++ % done_.size()];
  if (done)
    done->synchronize();
  else
    done.emplace(at::kCUDA);
  done->record(*stream_);
}

}  // namespace mode_ensemble
