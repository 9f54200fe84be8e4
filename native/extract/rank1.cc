#include "extract/rank1.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <vector>

#include "linalg/instruction_set.h"
#include "linalg/leading.h"

namespace mode_ensemble {
namespace {

const LeadingKernels& kernels() {
  static const auto& chosen = []() -> const LeadingKernels& {
    const auto all = all_leading_kernels();
    const auto* const found = fastest(all);
    return found ? *found : *all.back();
  }();
  return chosen;
}

// x [P, C] less its rank-1 part → out [P, C], from all eigenvalues of the smaller Gram matrix. In float64,
// since squaring squares the condition.
void take_away_by_gram(const LeadingRows& x, const at::Tensor& rows, float* out) {
  const auto wide = rows.to(at::kDouble);
  const bool over_space = x.rows <= x.columns;
  const auto gram = over_space ? wide.mm(wide.t()) : wide.t().mm(wide);
  const auto vector = std::get<1>(at::linalg_eigh(gram)).select(1, gram.size(0) - 1).contiguous();
  const auto other = (over_space ? wide.t() : wide).mv(vector);
  const auto& [u, t] = over_space ? std::tie(vector, other) : std::tie(other, vector);
  kernels().take_away(x, u.const_data_ptr<double>(), t.const_data_ptr<double>(), out);
}

}  // namespace

at::Tensor without_rank1(const at::Tensor& map) {
  // The iteration goes image by image, as long as each needs.
  if (!map.is_cpu()) return without_rank1(map.cpu()).to(map.device());
  const int64_t n = map.size(0), c = map.size(1), h = map.size(2), w = map.size(3), p = h * w;
  const bool half = map.scalar_type() == at::kBFloat16;
  const auto rows =
      map.permute({0, 2, 3, 1}).to(half ? at::kBFloat16 : at::kFloat).reshape({n, p, c}).contiguous();
  auto left = at::empty({n, p, c}, map.options().dtype(at::kFloat));
  auto* const out = left.mutable_data_ptr<float>();
  const auto image = [&](int64_t i) {
    const auto at = static_cast<const char*>(rows.const_data_ptr()) + i * p * c * rows.itemsize();
    return LeadingRows{at, half, p, c};
  };
  std::vector<char> found(static_cast<size_t>(n));
  at::parallel_for(0, n, 1, [&](int64_t begin, int64_t end) {
    LeadingVectors vectors(kernels());
    for (int64_t i = begin; i < end; ++i) {
      const auto x = image(i);
      found[static_cast<size_t>(i)] = vectors.find(x);
      if (found[static_cast<size_t>(i)])
        kernels().take_away(x, vectors.left().data(), vectors.right().data(), out + i * p * c);
    }
  });
  // Where the largest singular value does not stand out, all of them are computed.
  for (int64_t i = 0; i < n; ++i)
    if (!found[static_cast<size_t>(i)]) take_away_by_gram(image(i), rows[i], out + i * p * c);
  return left.view({n, h, w, c}).permute({0, 3, 1, 2});
}

}  // namespace mode_ensemble
