#include "landscape/held_images.h"

#include <algorithm>

#include "data/picked_reader.h"

namespace mode_ensemble {
namespace {

// In data-set order, so that files are read in theirs.
std::shared_ptr<const DataSet> picked(const HoldOptions& options) {
  const int64_t size = options.data->reader->size(), count = images_to_hold(options);
  if (count == size) return options.data;
  auto places = permutation(size, RandomStream(options.seed, options.stream, options.number));
  places.resize(static_cast<size_t>(count));
  std::sort(places.begin(), places.end());
  auto part = std::make_shared<DataSet>();
  part->reader = std::make_shared<PickedReader>(options.data->reader, std::move(places));
  part->skipBadImages = options.data->skipBadImages;
  return part;
}

}  // namespace

int64_t images_to_hold(const HoldOptions& options) {
  const int64_t size = options.data->reader->size();
  return options.images == 0 ? size : std::min(size, options.images);
}

int64_t bytes_to_hold(const HoldOptions& options) {
  const auto& prepare = options.loader.prepare;
  const int64_t side = prepare.transform.crop;
  return images_to_hold(options) * 3 * side * side * static_cast<int64_t>(size_of(prepare.type));
}

HeldImages hold_images(const HoldOptions& options, ProgressMeter& meter, const JobContext& context) {
  const auto data = picked(options);
  const int64_t size = data->reader->size();
  if (size == 0) throw Error(ErrorCode::data, "The set has no images.");
  auto settings = options.loader;
  // Kernels lay weights out for the size of a batch: a last one that is much smaller would cost that twice.
  const int64_t batches = (size + settings.batchSize - 1) / settings.batchSize;
  settings.batchSize = (size + batches - 1) / batches;
  TensorLoader loader(data, settings);
  HeldImages held;
  Batch batch;
  while (loader.next(batch)) {
    context.throw_if_aborted();
    const int64_t rows = batch.images.size(0);
    meter.add(batch.read);
    if (rows == 0) continue;
    held.batches.push_back({batch.images.clone(), batch.labels.clone(), rows});
    held.count += rows;
  }
  held.skipped = loader.loader().skipped_count();
  if (held.count == 0) throw Error(ErrorCode::data, "No image of the set could be read.");
  return held;
}

}  // namespace mode_ensemble
