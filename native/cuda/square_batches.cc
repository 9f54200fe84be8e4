#include "cuda/square_batches.h"

#include <cstring>

#include "cuda/devices.h"
#include "runtime/error.h"

namespace mode_ensemble {
namespace {

at::ScalarType type_of(PixelType type) {
  return type == PixelType::bfloat16 ? at::kBFloat16 : type == PixelType::uint8 ? at::kByte : at::kFloat;
}

}  // namespace

std::shared_ptr<const DeviceSquares> DeviceSquares::load(const std::shared_ptr<const DataSet>& data,
                                                         const LoaderOptions& options, const Compute& compute,
                                                         int64_t most, JobContext& context) {
  const auto& augment = options.prepare.augment;
  const int64_t images = data->reader->size(), side = options.prepare.transform.crop;
  if (augment.crop == "resized" || augment.randAugment > 0 || augment.erasing > 0) return nullptr;
  if (images > most / (3 * side * side) || images > std::numeric_limits<int32_t>::max()) return nullptr;
  LoaderOptions settings;
  settings.prepare.transform = options.prepare.transform;
  settings.prepare.decode = options.prepare.decode;
  settings.prepare.type = PixelType::uint8;
  settings.batchSize = 1024;
  settings.workers = options.workers;
  TensorLoader loader(data, settings);
  auto squares = std::make_shared<DeviceSquares>();
  const auto on = at::TensorOptions(compute.device);
  squares->pixels = at::empty({images, side, side, 3}, on.dtype(at::kByte));
  squares->labels = at::empty({images}, on.dtype(at::kLong));
  ProgressMeter meter(context, "load", images);
  Batch batch;
  for (int64_t at = 0; loader.next(batch);) {
    context.throw_if_aborted();
    const int64_t rows = batch.images.size(0);
    if (loader.loader().skipped_count() > 0) return nullptr;
    squares->pixels.narrow(0, at, rows).copy_(batch.images.permute({0, 2, 3, 1}));
    squares->labels.narrow(0, at, rows).copy_(batch.labels);
    at += rows;
    meter.add(rows);
  }
  return squares;
}

SquareBatches::SquareBatches(std::shared_ptr<const DeviceSquares> squares, const LoaderOptions& options)
    : squares_(std::move(squares)), batch_size_(options.batchSize) {
  const auto device = squares_->pixels.device();
  const Sampler sampler(squares_->pixels.size(0), options.sampler);
  rows_ = sampler.size();
  batches_ = (rows_ + batch_size_ - 1) / batch_size_;
  next_ = std::clamp<int64_t>(options.firstBatch, 0, batches_);
  // Some megabytes for a whole epoch, once; the draws are those of Preparation::run.
  auto moves = at::empty({rows_, 4}, at::kInt);
  auto order = at::empty({rows_}, at::kLong);
  auto* move = reinterpret_cast<SquareMove*>(moves.mutable_data_ptr<int32_t>());
  auto* index = order.mutable_data_ptr<int64_t>();
  static_assert(sizeof(SquareMove) == 4 * sizeof(int32_t));
  for (int64_t i = 0; i < rows_; ++i) {
    index[i] = sampler.at(i);
    const Framing framing = motion_of(options.prepare, index[i]);
    move[i] = {static_cast<int32_t>(index[i]), framing.shift_x, framing.shift_y, framing.flip ? 1 : 0};
  }
  moves_ = moves.to(device);
  labels_ = squares_->labels.index_select(0, order.to(device));
  const auto type = options.prepare.type;
  auto lookup = at::empty({3, 256}, type_of(type));
  const Preparation preparation(options.prepare, nullptr);
  preparation.copy_lookup(lookup.mutable_data_ptr());
  lookup_ = lookup.to(device);
}

bool SquareBatches::next(Batch& batch) {
  if (next_ >= batches_) return false;
  const int64_t first = next_++ * batch_size_, rows = std::min(batch_size_, rows_ - first);
  const int64_t side = squares_->pixels.size(1);
  const auto device = squares_->pixels.device();
  const auto squares = at::empty({rows, side, side, 3}, lookup_.options());
  SquaresJob job;
  job.set = squares_->pixels.const_data_ptr<uint8_t>();
  job.moves = reinterpret_cast<const SquareMove*>(moves_.const_data_ptr<int32_t>()) + first;
  job.lookup = lookup_.const_data_ptr();
  job.out = squares.mutable_data_ptr();
  job.rows = rows;
  job.side = static_cast<int>(side);
  job.bytes = static_cast<int>(lookup_.element_size());
  const int code = launch_squares(job, current_cuda_stream(device));
  if (code != 0)
    throw Error(ErrorCode::device, "CUDA error " + std::to_string(code) + " while images were prepared.");
  batch.images = squares.permute({0, 3, 1, 2});
  batch.labels = labels_.narrow(0, first, rows);
  batch.read = rows;
  return true;
}

}  // namespace mode_ensemble
