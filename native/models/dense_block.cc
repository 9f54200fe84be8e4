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

// Images that one thread takes through the block.
struct DenseBlock::Group {
  const char* x;
  char* out;
  int64_t images, height, width;
  int64_t pixels() const { return images * height * width; }
};

// What a thread works in, of as many pixels as its groups have.
struct DenseBlock::Memory {
  at::DataPtr map;       // [pixels, all]
  at::DataPtr narrowed;  // [pixels, bottleneck]
  at::DataPtr tile;      // [kRows, all]
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
      last_(norm) {
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

bool DenseBlock::serves(const at::Tensor& x) const {
  const bool graph = at::GradMode::is_enabled() && x.requires_grad();
  return !graph && x.is_cpu() && x.size(0) * 2 > at::get_num_threads();
}

at::Tensor DenseBlock::operator()(const at::Tensor& input) const {
  const auto x = input.to(type_).contiguous(kChannelsLast);
  const int64_t n = x.size(0), height = x.size(2), width = x.size(3);
  const auto shape = transition_ ? std::vector<int64_t>{n, transition_->out, height / 2, width / 2}
                                 : std::vector<int64_t>{n, all_, height, width};
  auto y = at::empty(shape, x.options().memory_format(kChannelsLast));
  const int64_t each = y.numel() / n * width_;
  const int64_t threads = at::get_num_threads();
  const int64_t most =
      std::min((kPixels + height * width - 1) / (height * width), (n + threads - 1) / threads);
  const int64_t groups = (n + most - 1) / most;
  const auto* from = static_cast<const char*>(x.const_data_ptr());
  auto* to = static_cast<char*>(y.mutable_data_ptr());
  at::parallel_for(0, groups, 1, [&](int64_t begin, int64_t end) {
    const int64_t pixels = most * height * width;
    const Memory memory{bytes(pixels * all_ * width_), bytes(pixels * bottleneck_ * width_),
                        bytes(kRows * all_ * width_)};
    for (int64_t g = begin; g < end; ++g) {
      const int64_t first = g * most;
      run({from + first * height * width * in_ * width_, to + first * each, std::min(most, n - first), height,
           width},
          memory);
    }
  });
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

void DenseBlock::run(const Group& group, const Memory& memory) const {
  const int64_t pixels = group.pixels(), row = all_ * width_;
  auto* const map = static_cast<char*>(memory.map.get());
  auto* const narrowed = static_cast<char*>(memory.narrowed.get());
  void* const tile = memory.tile.get();
  const std::vector<float> no_bias(static_cast<size_t>(growth_));

  for (int64_t i = 0; i < pixels; ++i)
    std::memcpy(map + i * row, group.x + i * in_ * width_, static_cast<size_t>(in_ * width_));
  int64_t channels = in_;
  for (const auto& [narrow, grow] : steps_) {
    const auto& [scale, offset] = narrow.norm;
    for (int64_t i = 0; i < pixels; i += kRows) {
      const int64_t count = std::min(kRows, pixels - i);
      kernels_->normalise({map + i * row, all_, count, channels, scale.data(), offset.data(), true}, tile);
      multiply(narrow, tile, count, narrowed + i * bottleneck_ * width_, /*relu=*/true);
    }
    Winograd::Call call;
    call.half = kernels_->half;
    call.images = narrowed;
    call.count = group.images;
    call.height = group.height;
    call.width = group.width;
    call.bias = no_bias.data();
    call.out = map + channels * width_;
    call.step = all_;
    call.beside_others = true;
    grow.run(call);
    channels += growth_;
  }
  const DenseRows rows{
      map, all_, pixels, all_, last_.scale.data(), last_.offset.data(), transition_ != nullptr};
  if (!transition_) return kernels_->normalise(rows, group.out);
  // The averages are taken first: a 1×1 convolution of averages is the average of the convolution, at a
  // quarter of the products.
  const int64_t squares = (group.height / 2) * (group.width / 2);
  for (int64_t image = 0; image < group.images; ++image)
    for (int64_t i = 0; i < squares; i += kRows) {
      DenseRows some = rows;
      some.at = map + image * group.height * group.width * row;
      some.count = std::min(kRows, squares - i);
      kernels_->pool(some, group.width, i, tile);
      multiply(*transition_, tile, some.count, group.out + (image * squares + i) * transition_->out * width_,
               /*relu=*/false);
    }
}

}  // namespace mode_ensemble
