#include "models/dense_block.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstring>

#include "linalg/instruction_set.h"

namespace mode_ensemble {
namespace {

constexpr auto kChannelsLast = at::MemoryFormat::ChannelsLast;
// Rows that are normalised and multiplied at a time; a thousand channels of them should stay in a core's
// second level of cache.
constexpr int64_t kRows = 112;
// Pixels that a thread takes through a block at least, where there are so many, so that weights, which each
// group reads anew, are few beside them.
constexpr int64_t kPixels = 784;

const DenseKernels* kernels_of(at::ScalarType type) {
  static const auto* const whole = fastest(all_dense_kernels(/*half=*/false));
  static const auto* const half = fastest(all_dense_kernels(/*half=*/true));
  return type == at::kFloat ? whole : type == at::kBFloat16 ? half : nullptr;
}

// Not by at::empty, which profilers and meters of memory would take for a result.
at::DataPtr bytes(int64_t count) { return at::getCPUAllocator()->allocate(static_cast<size_t>(count)); }

std::vector<float> numbers(const at::Tensor& tensor) {
  const auto whole = tensor.detach().to(at::kFloat).contiguous();
  const auto* from = whole.const_data_ptr<float>();
  return {from, from + whole.numel()};
}

// [out, in, 1, 1] → [out/32, in/depth, 32, depth]
at::Tensor panels_of(const at::Tensor& weight, int64_t depth, at::ScalarType type) {
  const int64_t out = weight.size(0), in = weight.size(1);
  return weight.detach()
      .reshape({out / kDensePanel, kDensePanel, in / depth, depth})
      .permute({0, 2, 1, 3})
      .to(type)
      .contiguous();
}

bool fits(const Conv& conv, int64_t kernel) {
  const auto& w = conv.weight;
  return w.is_cpu() && w.dim() == 4 && w.size(2) == kernel && w.size(0) % kDensePanel == 0 &&
         w.size(1) % kDensePanel == 0;
}

}  // namespace

// Images that go through the block together.
struct DenseBlock::Group {
  const char* x;                // [pixels, in]
  char* out;                    // of the first image's result
  char* map;                    // [pixels, all]
  std::vector<char*> narrowed;  // [pixels, bottleneck] for each layer; all the same where none is kept
  char* tiles;                  // [kRows, all] for each thread that works on the group
  bool one_thread;
  int64_t images, height, width;
  int64_t pixels() const { return images * height * width; }
};

DenseBlock::Affine::Affine(const BatchNorm& norm) {
  const c10::NoGradGuard guard;
  const auto factor = norm.weight.to(at::kDouble) / at::sqrt(norm.variance.to(at::kDouble) + 1e-5);
  scale = numbers(factor);
  offset = numbers(norm.bias.to(at::kDouble) - norm.mean.to(at::kDouble) * factor);
}

std::unique_ptr<const DenseBlock> DenseBlock::make(const std::vector<Layer>& layers, const BatchNorm& norm,
                                                   const Conv* conv, at::ScalarType type) {
  const auto* const kernels = kernels_of(type);
  if (!kernels || layers.empty() || (conv && !fits(*conv, 1))) return nullptr;
  for (const auto& [first, narrow, grow] : layers)
    if (!fits(narrow, 1) || !fits(grow, 3) || !Winograd::serves(grow.weight.size(1), grow.weight.size(0)))
      return nullptr;
  return std::unique_ptr<const DenseBlock>(new DenseBlock(kernels, layers, norm, conv));
}

DenseBlock::DenseBlock(const DenseKernels* kernels, const std::vector<Layer>& layers, const BatchNorm& norm,
                       const Conv* conv)
    : kernels_(kernels),
      type_(kernels->half ? at::kBFloat16 : at::kFloat),
      width_(kernels->half ? 2 : 4),
      last_(norm),
      layers_(layers),
      conv_(conv) {
  const c10::NoGradGuard guard;
  const auto& first = layers.front();
  in_ = first.narrow.weight.size(1);
  bottleneck_ = first.narrow.weight.size(0);
  growth_ = first.grow.weight.size(0);
  all_ = in_ + growth_ * static_cast<int64_t>(layers.size());
  for (const auto& layer : layers) {
    const auto weight = layer.grow.weight.detach().contiguous();
    steps_.push_back(
        {narrow(layer.norm, layer.narrow), Winograd(weight.const_data_ptr<float>(), bottleneck_, growth_)});
  }
  if (conv) transition_ = std::make_unique<Narrow>(narrow(norm, *conv));
}

DenseBlock::Narrow DenseBlock::narrow(const BatchNorm& norm, const Conv& conv) const {
  const auto& w = conv.weight;
  const auto bias = conv.bias.defined() ? conv.bias : at::zeros({w.size(0)}, w.options());
  return {Affine(norm), numbers(bias), panels_of(w, kernels_->depth, type_), w.size(1), w.size(0)};
}

at::Tensor DenseBlock::run(const at::Tensor& x, Kept* kept) const {
  const int64_t n = x.size(0), height = x.size(2), width = x.size(3), area = height * width;
  const auto made = [&](int64_t channels, int64_t tall, int64_t wide) {
    return at::empty({n, channels, tall, wide}, x.options().memory_format(kChannelsLast));
  };
  const auto y = transition_ ? made(transition_->out, height / 2, width / 2) : made(all_, height, width);
  if (kept) {
    kept->map = made(all_, height, width);
    for (size_t l = 0; l < steps_.size(); ++l) kept->narrowed.push_back(made(bottleneck_, height, width));
  }
  // With fewer images than threads, all threads work on one group after the other.
  const int64_t threads = at::get_num_threads();
  const bool one_thread = n * 2 > threads;
  const int64_t most = std::min((kPixels + area - 1) / area, one_thread ? (n + threads - 1) / threads : n);
  const auto at_image = [&](const at::Tensor& tensor, int64_t image) {
    return static_cast<char*>(tensor.data_ptr()) + image * (tensor.numel() / n) * width_;
  };
  const auto some = [&](int64_t begin, int64_t end) {
    const auto map = bytes(kept ? 0 : most * area * all_ * width_);
    const auto narrowed = bytes(kept ? 0 : most * area * bottleneck_ * width_);
    const auto tiles = bytes((one_thread ? 1 : threads) * kRows * all_ * width_);
    for (int64_t g = begin; g < end; ++g) {
      const int64_t first = g * most;
      Group group{at_image(x, first),
                  at_image(y, first),
                  kept ? at_image(kept->map, first) : static_cast<char*>(map.get()),
                  std::vector<char*>(steps_.size(), static_cast<char*>(narrowed.get())),
                  static_cast<char*>(tiles.get()),
                  one_thread,
                  std::min(most, n - first),
                  height,
                  width};
      if (kept)
        for (size_t l = 0; l < steps_.size(); ++l) group.narrowed[l] = at_image(kept->narrowed[l], first);
      run(group);
    }
  };
  const int64_t groups = (n + most - 1) / most;
  if (one_thread)
    at::parallel_for(0, groups, 1, some);
  else
    some(0, groups);
  return y;
}

// a [count, in] → to [count, out]
void DenseBlock::multiply(const Narrow& narrow, const void* a, int64_t count, void* to, bool relu) const {
  const int64_t panel = narrow.in * kDensePanel * width_;
  const auto* weights = static_cast<const char*>(narrow.panels.const_data_ptr());
  for (int64_t p = 0; p < narrow.out / kDensePanel; ++p)
    kernels_->multiply(a, weights + p * panel, count, narrow.in,
                       {static_cast<char*>(to) + p * kDensePanel * width_, narrow.out,
                        narrow.bias.data() + p * kDensePanel, relu});
}

void DenseBlock::run(const Group& group) const {
  const int64_t pixels = group.pixels(), row = all_ * width_;
  const std::vector<float> no_bias(static_cast<size_t>(growth_));
  // Calls of(first, count, tile) for so many rows at a time.
  const auto by_tiles = [&](int64_t rows, const auto& of) {
    const auto tiles = [&](int64_t begin, int64_t end) {
      char* const tile = group.tiles + (group.one_thread ? 0 : at::get_thread_num() * kRows * row);
      for (int64_t t = begin; t < end; ++t) of(t * kRows, std::min(kRows, rows - t * kRows), tile);
    };
    const int64_t count = (rows + kRows - 1) / kRows;
    if (group.one_thread)
      tiles(0, count);
    else
      at::parallel_for(0, count, 1, tiles);
  };

  for (int64_t i = 0; i < pixels; ++i)
    std::memcpy(group.map + i * row, group.x + i * in_ * width_, static_cast<size_t>(in_ * width_));
  int64_t channels = in_;
  for (size_t l = 0; l < steps_.size(); ++l, channels += growth_) {
    const auto& [narrow, grow] = steps_[l];
    const auto& [scale, offset] = narrow.norm;
    by_tiles(pixels, [&](int64_t first, int64_t count, char* tile) {
      kernels_->normalise({group.map + first * row, all_, count, channels, scale.data(), offset.data(), true},
                          tile);
      multiply(narrow, tile, count, group.narrowed[l] + first * bottleneck_ * width_, /*relu=*/true);
    });
    Winograd::Call call;
    call.half = kernels_->half;
    call.images = group.narrowed[l];
    call.count = group.images;
    call.height = group.height;
    call.width = group.width;
    call.bias = no_bias.data();
    call.out = group.map + channels * width_;
    call.step = all_;
    call.beside_others = group.one_thread;
    grow.run(call);
  }
  const auto rows = [&](const char* map, int64_t count) {
    return DenseRows{map, all_, count, all_, last_.scale.data(), last_.offset.data(), transition_ != nullptr};
  };
  if (!transition_) {
    by_tiles(pixels, [&](int64_t first, int64_t count, char*) {
      kernels_->normalise(rows(group.map + first * row, count), group.out + first * row);
    });
    return;
  }
  // The averages are taken first: a 1×1 convolution of averages is the average of the convolution, at a
  // quarter of the products.
  const int64_t squares = (group.height / 2) * (group.width / 2), step = transition_->out * width_;
  for (int64_t image = 0; image < group.images; ++image)
    by_tiles(squares, [&](int64_t first, int64_t count, char* tile) {
      kernels_->pool(rows(group.map + image * group.height * group.width * row, count), group.width, first,
                     tile);
      multiply(*transition_, tile, count, group.out + (image * squares + first) * step, /*relu=*/false);
    });
}

}  // namespace mode_ensemble
