#include "linalg/fit_gaussians.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <limits>
#include <set>

#include "linalg/fused_rows.h"
#include "linalg/gaussians.h"
#include "runtime/device.h"
#include "runtime/printable.h"

namespace mode_ensemble {
namespace {

// Doubles of one block of rows (16 MiB).
constexpr int64_t kBlock = int64_t{1} << 21;
// Columns of one panel of the covariance: of each panel only what is right of the diagonal is computed, which
// for many panels is half of the whole.
constexpr int64_t kPanel = 256;
constexpr size_t kClassesListed = 10;

// How many training images each class has. None may have none.
std::vector<int64_t> count_classes(const std::string& file, const std::vector<int64_t>& labels,
                                   int64_t classes) {
  std::vector<int64_t> counts(static_cast<size_t>(classes));
  for (const int64_t label : labels) ++counts[static_cast<size_t>(label)];
  std::string listed;
  size_t empty = 0;
  for (size_t c = 0; c < counts.size(); ++c)
    if (counts[c] == 0 && ++empty <= kClassesListed)
      listed += (listed.empty() ? "" : ", ") + std::to_string(c);
  if (empty > kClassesListed) listed += " and " + std::to_string(empty - kClassesListed) + " more";
  if (empty > 0)
    throw Error(ErrorCode::data, file + ": expected training images of each of " + std::to_string(classes) +
                                     " classes, found none of class " + listed + ".");
  return counts;
}

// Calls `use(rows, labels)` with one block after the other: float64 [b, D].
template <typename Use>
void for_each_block(const FusedRows& source, const std::vector<int64_t>& labels, JobContext& context,
                    ProgressMeter& meter, Use use) {
  const int64_t block = source.block(kBlock);
  for (int64_t first = 0; first < source.rows(); first += block) {
    context.throw_if_aborted();
    const int64_t count = std::min(block, source.rows() - first);
    use(source.read(first, count), labels.data() + first);
    meter.add(count);
  }
}

at::Tensor class_means(const FusedRows& source, const std::vector<int64_t>& labels,
                       const std::vector<int64_t>& counts, JobContext& context, ProgressMeter& meter) {
  const int64_t width = source.width(), classes = static_cast<int64_t>(counts.size());
  auto means = at::zeros({classes, width}, at::kDouble);
  double* const to = means.mutable_data_ptr<double>();
  for_each_block(source, labels, context, meter, [&](const at::Tensor& rows, const int64_t* label) {
    const double* const from = rows.const_data_ptr<double>();
    // Each thread takes some columns of all rows, so that no sum depends on the number of threads.
    at::parallel_for(0, width, 64, [&](int64_t begin, int64_t end) {
      for (int64_t i = 0; i < rows.size(0); ++i)
        for (int64_t j = begin; j < end; ++j) to[label[i] * width + j] += from[i * width + j];
    });
  });
  for (int64_t c = 0; c < classes; ++c)
    for (int64_t j = 0; j < width; ++j)
      to[c * width + j] /= static_cast<double>(counts[static_cast<size_t>(c)]);
  return means;
}

// Covariance, divided by N, of the rows less their class's mean, whose own mean is taken off once more (it is
// 0 but for rounding). Only the part right of the diagonal is filled. [D, D]
at::Tensor shared_covariance(const FusedRows& source, const std::vector<int64_t>& labels,
                             const at::Tensor& means, JobContext& context, ProgressMeter& meter) {
  const int64_t width = source.width();
  auto products = at::zeros({width, width}, at::kDouble);
  auto sum = at::zeros({width}, at::kDouble);
  const double* const mean = means.const_data_ptr<double>();
  for_each_block(source, labels, context, meter, [&](const at::Tensor& rows, const int64_t* label) {
    double* const row = rows.mutable_data_ptr<double>();
    at::parallel_for(0, rows.size(0), std::max<int64_t>(1, 32768 / width), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        for (int64_t j = 0; j < width; ++j) row[i * width + j] -= mean[label[i] * width + j];
    });
    sum.add_(rows.sum(0));
    for (int64_t first = 0; first < width; first += kPanel) {
      const int64_t panel = std::min(kPanel, width - first), rest = width - first;
      products.narrow(0, first, panel)
          .narrow(1, first, rest)
          .addmm_(rows.narrow(1, first, panel).t(), rows.narrow(1, first, rest));
    }
  });
  const auto count = static_cast<double>(source.rows());
  sum.div_(count);
  return products.div_(count).sub_(at::outer(sum, sum));
}

// The pseudo-inverse's factor: W with WᵀW = Σ⁺. An eigenvalue counts as 0 at and below the largest × D × the
// rounding unit of float64, the rule of scipy.linalg.pinvh, which scikit-learn's precision_ comes from.
at::Tensor whiten(const at::Tensor& covariance, GaussianFit& fit) {
  const auto [values, vectors] = at::linalg_eigh(covariance, "U");  // ascending; vectors in columns
  const auto value = values.accessor<double, 1>();
  double largest = 0;
  for (int64_t i = 0; i < fit.width; ++i) largest = std::max(largest, std::abs(value[i]));
  const double cutoff = largest * static_cast<double>(fit.width) * std::numeric_limits<double>::epsilon();
  int64_t first = 0;
  while (first < fit.width && !(value[first] > cutoff)) ++first;
  fit.rank = fit.width - first;
  fit.condition = fit.rank > 0 ? largest / value[first] : 0;
  return (vectors.narrow(1, first, fit.rank) / values.narrow(0, first, fit.rank).sqrt()).t().contiguous();
}

}  // namespace

FitGaussiansResult fit_gaussians(const FitGaussiansOptions& options, JobContext& context) {
  use_threads(options.threads);
  const c10::NoGradGuard no_grad;
  if (options.train.empty())
    throw Error(ErrorCode::config, "train: expected a feature file a member, found none.");
  if (options.stages.empty())
    throw Error(ErrorCode::config, "stages: expected at least one tensor, found none.");
  std::set<std::string> seen;
  for (const auto& stage : options.stages)
    if (!seen.insert(stage).second)
      throw Error(ErrorCode::config,
                  "stages: expected each tensor once, found \"" + printable(stage) + "\" twice.");
  const std::string& first_file = options.train.front();
  const auto labels = read_labels(first_file, options.classes);
  const auto counts = count_classes(first_file, labels, options.classes);
  const auto images = static_cast<int64_t>(labels.size());
  std::vector<FusedRows> sources;
  for (const auto& stage : options.stages) {
    sources.emplace_back(options.train, stage);
    if (sources.back().rows() != images)
      throw Error(ErrorCode::data, first_file + ": expected " + std::to_string(images) + " rows in \"" +
                                       printable(stage) + "\", as many as labels, found " +
                                       std::to_string(sources.back().rows()) + ".");
  }
  const auto total = images * static_cast<int64_t>(sources.size());
  std::vector<GaussianStage> stages(sources.size());
  ProgressMeter mean_meter(context, "means", total);
  for (size_t k = 0; k < sources.size(); ++k) {
    stages[k].name = options.stages[k];
    stages[k].means = class_means(sources[k], labels, counts, context, mean_meter);
  }
  ProgressMeter meter(context, "covariance", total);
  FitGaussiansResult result;
  for (size_t k = 0; k < sources.size(); ++k) {
    GaussianFit fit{options.stages[k], sources[k].width()};
    const auto covariance = shared_covariance(sources[k], labels, stages[k].means, context, meter);
    context.throw_if_aborted();
    // On one thread: LAPACK's gains little from a second (2.2 s for D = 2048), and loses tenfold where a core
    // is shared.
    use_threads(1);
    stages[k].whitening = whiten(covariance, fit);
    use_threads(options.threads);
    result.stages.push_back(std::move(fit));
  }
  context.throw_if_aborted();
  write_gaussians(options.output, stages, options.metadata);
  return result;
}

}  // namespace mode_ensemble
