// What lib/native/contract.ts says of the random changes of training images, one at a time: for tests and
// pictures.
#include <algorithm>
#include <cstring>

#include "addon/fields.h"
#include "addon/napi_env.h"
#include "addon/values.h"
#include "data/erase.h"
#include "data/rand_augment.h"

namespace mode_ensemble::addon {
namespace {

// A typed array `pixels` [size, size, 3].
template <typename Array>
Array square_of(const Fields& fields, int64_t size, napi_typedarray_type type, const std::string& expected) {
  const auto value = fields.value("pixels");
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type)
    wrong(fields.at("pixels"), expected, value);
  const auto pixels = value.As<Array>();
  if (pixels.ElementLength() != static_cast<size_t>(3 * size * size))
    throw Error(ErrorCode::config, fields.at("pixels") + ": expected size * size * 3 numbers, found " +
                                       std::to_string(pixels.ElementLength()) + ".");
  return pixels;
}

Rgb color(const Fields& fields, const std::string& name) {
  const auto values = fields.triple(name);
  Rgb out{};
  std::transform(values.begin(), values.end(), out.begin(),
                 [](double value) { return static_cast<uint8_t>(std::clamp(value, 0.0, 255.0)); });
  return out;
}

// The stream is a function of these and of the image.
struct StreamFields {
  explicit StreamFields(const Fields& fields)
      : seed(static_cast<uint64_t>(at_least(fields, "seed", 0))),
        epoch(static_cast<uint64_t>(at_least(fields, "epoch", 0))) {}
  uint64_t seed, epoch;
};

Napi::Value augment_pixels(const Napi::CallbackInfo& call) {
  const Fields fields(call[0], "");
  const int64_t size = side(fields, "size");
  const auto pixels = square_of<Napi::Uint8Array>(fields, size, napi_uint8_array, "a Uint8Array");
  const AugmentOp& op = augment_op(fields.string("op"));
  const Resampling how{
      one_of(fields, "filter", {"bilinear", "bicubic"}) == "bicubic" ? Filter::bicubic : Filter::bilinear,
      color(fields, "outside")};
  OpCanvas canvas;
  std::memcpy(canvas.image.make(static_cast<int>(size), static_cast<int>(size)), pixels.Data(),
              pixels.ByteLength());
  op.apply(canvas, fields.number("parameter"), how);
  auto out = Napi::Uint8Array::New(call.Env(), canvas.image.bytes());
  std::memcpy(out.Data(), canvas.image.data(), canvas.image.bytes());
  return out;
}

Napi::Value random_ops(const Napi::CallbackInfo& call) {
  const auto env = call.Env();
  const Fields fields(call[0], "");
  const StreamFields stream(fields);
  AugmentOptions augment;
  augment.randAugment = fields.number("randAugment");
  augment.randAugmentOps = at_least(fields, "randAugmentOps", 1);
  augment.randAugmentNoise = fields.number("randAugmentNoise");
  const int64_t count = at_least(fields, "count", 0);
  if (std::max(count, augment.randAugmentOps) > 1 << 20 || count * augment.randAugmentOps > 1 << 24)
    throw Error(ErrorCode::config, "count, randAugmentOps: too large.");
  auto draws = Napi::Float64Array::New(env, static_cast<size_t>(4 * count * augment.randAugmentOps));
  double* to = draws.Data();
  for (int64_t i = 0; i < count; ++i) {
    auto random = rand_augment_stream(stream.seed, stream.epoch, i);
    for (int64_t k = 0; k < augment.randAugmentOps; ++k, to += 4) {
      const DrawnOp drawn = draw_op(augment, random);
      to[0] = static_cast<double>(drawn.op - augment_ops().data());
      to[1] = drawn.takes_place ? drawn.magnitude : -1;
      to[2] = drawn.parameter;
      to[3] = drawn.filter == Filter::bicubic ? 1 : 0;
    }
  }
  auto out = Napi::Object::New(env);
  out["names"] =
      to_array(env, augment_ops(), [&](const AugmentOp& op) { return Napi::String::New(env, op.name); });
  out["draws"] = draws;
  return out;
}

Napi::Value erase_pixels(const Napi::CallbackInfo& call) {
  const auto env = call.Env();
  const Fields fields(call[0], "");
  const int64_t size = side(fields, "size");
  const auto pixels = square_of<Napi::Float32Array>(fields, size, napi_float32_array, "a Float32Array");
  const StreamFields stream(fields);
  auto random = erase_stream(stream.seed, stream.epoch, at_least(fields, "index", 0));
  const Region box = erased_box(fields.number("erasing"), static_cast<int>(size), random);
  auto erased = Napi::Float32Array::New(env, pixels.ElementLength());
  std::memcpy(erased.Data(), pixels.Data(), pixels.ByteLength());
  erase(box, static_cast<int>(size), random, erased.Data(),
        [](double value, size_t) { return static_cast<float>(value); });
  auto region = Napi::Object::New(env);
  region["left"] = box.left;
  region["top"] = box.top;
  region["width"] = box.width;
  region["height"] = box.height;
  auto out = Napi::Object::New(env);
  out["pixels"] = erased;
  out["box"] = region;
  return out;
}

}  // namespace

void add_augment_exports(Napi::Env env, Napi::Object exports) {
  exports["augmentPixels"] = Napi::Function::New<guarded<augment_pixels>>(env, "augmentPixels");
  exports["randomOps"] = Napi::Function::New<guarded<random_ops>>(env, "randomOps");
  exports["erasePixels"] = Napi::Function::New<guarded<erase_pixels>>(env, "erasePixels");
}

}  // namespace mode_ensemble::addon
