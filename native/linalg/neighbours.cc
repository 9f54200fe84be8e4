#include "linalg/neighbours.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <memory>

#include "checkpoint/safetensors.h"
#include "runtime/device.h"
#include "runtime/files.h"

namespace mode_ensemble {
namespace {

// Candidates beyond k that the first, matrix-product pass hands to the exact one. With e the rounding error
// of that pass (at most about 2 D 2^-24 on unit vectors, in practice far less), a neighbour is missed only
// where more than this many others lie within 2e of it, and the distance is then too large by at most 2e.
constexpr int64_t kSpare = 16;
// Floats held at a time by each of the two passes (64 MiB).
constexpr int64_t kBlock = int64_t{1} << 24;

// The mean over members, normalised: [N, D].
at::Tensor fused(const std::vector<std::string>& files, const std::string& tensor) {
  at::Tensor sum;
  for (const auto& path : files) {
    const MappedFile file(path);
    const auto header = parse_safetensors(path, file.data(), file.size());
    const auto* entry = header.find(tensor);
    if (!entry || (entry->dtype != "F32" && entry->dtype != "F16") || entry->shape.size() != 2)
      throw Error(ErrorCode::data,
                  path + ": expected a float32 or float16 tensor \"" + tensor + "\" [N, D], found " +
                      (entry ? entry->dtype + " with " + std::to_string(entry->shape.size()) + " dimensions."
                             : std::string("none.")));
    if (entry->shape[1] == 0)
      throw Error(ErrorCode::data,
                  path + ": expected features in \"" + tensor + "\", found rows of width 0.");
    const auto rows = at::from_blob(const_cast<uint8_t*>(file.data()) + header.data_offset + entry->begin,
                                    entry->shape, entry->dtype == "F16" ? at::kHalf : at::kFloat);
    if (!sum.defined())
      sum = rows.to(at::kFloat, /*non_blocking=*/false, /*copy=*/true);
    else if (sum.sizes() != rows.sizes())
      throw Error(ErrorCode::data, path + ": expected \"" + tensor + "\" of the first member's shape (" +
                                       std::to_string(sum.size(0)) + " rows), found " +
                                       std::to_string(rows.size(0)) + " rows.");
    else
      sum.add_(rows);
  }
  sum.div_(static_cast<double>(files.size()));
  return sum.div_(at::linalg_vector_norm(sum, 2, at::IntArrayRef{1}, true).add_(1e-10));
}

}  // namespace

NeighboursResult neighbours(const NeighboursOptions& options, JobContext& context) {
  use_threads(options.threads);
  const c10::NoGradGuard no_grad;
  if (options.bank.empty())
    throw Error(ErrorCode::config, "bank: expected a feature file a member, found none.");
  const auto bank = fused(options.bank, options.tensor);  // [B, D]
  const int64_t size = bank.size(0), width = bank.size(1);
  if (options.k < 1 || options.k > size)
    throw Error(ErrorCode::config, "k: expected 1 to the number of training features, " +
                                       std::to_string(size) + ", found " + std::to_string(options.k) + ".");
  const auto norms = bank.square().sum(1);  // [B]
  const int64_t candidates = std::min(size, options.k + kSpare);
  const int64_t block =
      std::max<int64_t>(1, std::min({int64_t{1024}, kBlock / size, kBlock / (candidates * width)}));

  std::vector<at::Tensor> sets;
  int64_t total = 0;
  for (const auto& files : options.queries) {
    if (files.size() != options.bank.size())
      throw Error(ErrorCode::config, "queries: expected " + std::to_string(options.bank.size()) +
                                         " feature files a set, found " + std::to_string(files.size()) + ".");
    context.throw_if_aborted();
    sets.push_back(fused(files, options.tensor));
    if (sets.back().size(1) != width)
      throw Error(ErrorCode::data, files.front() + ": expected features of width " + std::to_string(width) +
                                       " as in the training set, found " +
                                       std::to_string(sets.back().size(1)) + ".");
    total += sets.back().size(0);
  }
  ProgressMeter meter(context, "neighbours", total);
  NeighboursResult result;
  for (const auto& queries : sets) {
    std::vector<float> distances(static_cast<size_t>(queries.size(0)));
    for (int64_t first = 0; first < queries.size(0); first += block) {
      context.throw_if_aborted();
      const auto q = queries.narrow(0, first, std::min(block, queries.size(0) - first));  // [b, D]
      // ‖q − y‖² up to ‖q‖², which does not change the order.
      const auto rough = at::addmm(norms.unsqueeze(0), q, bank.t(), 1, -2);  // [b, B]
      const auto nearest = std::get<1>(rough.topk(candidates, 1, /*largest=*/false, /*sorted=*/false));
      // Exact: differences first, so that close neighbours do not cancel.
      const auto rows = bank.index_select(0, nearest.flatten()).view({q.size(0), candidates, width});
      const auto exact = rows.sub_(q.unsqueeze(1)).square_().sum(2);  // [b, candidates]
      const auto kth = std::get<0>(exact.kthvalue(options.k, 1)).contiguous();
      std::copy_n(kth.const_data_ptr<float>(), kth.size(0), distances.begin() + first);
      meter.add(q.size(0));
    }
    result.distances.push_back(std::move(distances));
  }
  return result;
}

}  // namespace mode_ensemble
