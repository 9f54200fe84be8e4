#include "data/tensor_loader.h"

namespace mode_ensemble {
namespace {

SlotMemory allocate(int64_t rows, size_t bytes, bool pinned) {
  struct Tensors {
    at::Tensor images, labels;
  };
  const auto options = at::TensorOptions().pinned_memory(pinned);
  auto tensors = std::make_shared<Tensors>();
  tensors->images = at::empty({rows, static_cast<int64_t>(bytes)}, options.dtype(at::kByte));
  tensors->labels = at::empty({rows}, options.dtype(at::kLong));
  return {tensors->images.mutable_data_ptr(), tensors->labels.mutable_data_ptr<int64_t>(), tensors};
}

}  // namespace

PixelType pixel_type_of(const std::string& precision, bool begins_with_convolution) {
  return precision == "bfloat16" && begins_with_convolution ? PixelType::bfloat16 : PixelType::float32;
}

TensorLoader::TensorLoader(std::shared_ptr<const DataSet> data, const LoaderOptions& options, bool pinned)
    : type_(options.prepare.type),
      side_(options.prepare.transform.crop),
      loader_(std::move(data), options,
              [pinned](int64_t rows, size_t bytes) { return allocate(rows, bytes, pinned); }) {}

bool TensorLoader::next(Batch& batch) {
  LoadedBatch loaded;
  if (!loader_.next(loaded)) return false;
  const SlotMemory& memory = loader_.memory(loaded.slot);
  const auto type = type_ == PixelType::bfloat16 ? at::kBFloat16
                    : type_ == PixelType::uint8  ? at::kByte
                                                 : at::kFloat;
  // [N, 3, S, S] over [N, S, S, 3]. The owner travels with the tensors.
  const auto keep = [owner = memory.owner](void*) {};
  const int64_t s = side_;
  batch.images = at::from_blob(memory.images, {loaded.rows, 3, s, s}, {3 * s * s, 1, 3 * s, 3}, keep,
                               at::TensorOptions().dtype(type));
  batch.labels = at::from_blob(memory.labels, {loaded.rows}, {1}, keep, at::TensorOptions().dtype(at::kLong));
  batch.read = loaded.read;
  return true;
}

}  // namespace mode_ensemble
