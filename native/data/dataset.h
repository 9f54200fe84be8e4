// An opened data set, as the handles of the boundary hold it.
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <utility>

#include "data/pixel_cache.h"
#include "data/reader.h"
#include "data/transform.h"

namespace mode_ensemble {

// The squares of a set of image files, kept from epoch to epoch: those of the transform that was asked for
// last.
class KeptSquares {
 public:
  // Null where `images` squares take more than `limit` bytes, or more than there are.
  std::shared_ptr<PixelCache> of(const TransformOptions& transform, int64_t images, uint64_t limit) {
    const auto bytes = static_cast<size_t>(3 * transform.crop * transform.crop);
    if (images < 1 || static_cast<uint64_t>(images) > limit / bytes) return nullptr;
    const std::string key = std::to_string(transform.resize) + " " + transform.fit + " " + transform.filter +
                            " " + std::to_string(transform.crop);
    const std::lock_guard lock(mutex_);
    if (cache_ && key == key_) return cache_;
    cache_.reset();
    try {
      cache_ = std::make_shared<PixelCache>(images, bytes);
      key_ = key;
    } catch (const std::bad_alloc&) {  // then images are decoded again in each epoch
    }
    return cache_;
  }

 private:
  std::mutex mutex_;
  std::string key_;
  std::shared_ptr<PixelCache> cache_;
};

struct DataSet {
  std::shared_ptr<const Reader> reader;
  bool skipBadImages = false;
  std::shared_ptr<KeptSquares> kept = std::make_shared<KeptSquares>();
};

}  // namespace mode_ensemble
