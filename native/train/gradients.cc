#include "train/gradients.h"

#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <array>

namespace mode_ensemble {
namespace {

// PyTorch's DistributedDataParallel takes 1 MiB for the first bucket and 25 MiB for the others.
constexpr int64_t kFirstBytes = int64_t{1} << 20;
constexpr int64_t kBytes = int64_t{25} << 20;
constexpr int64_t kVotes = 3;

}  // namespace

struct Gradients::Hook final : torch::autograd::PostAccumulateGradHook {
  Hook(Gradients& to, size_t bucket, size_t place) : to(to), bucket(bucket), place(place) {}
  void operator()(const torch::autograd::Variable&) override { to.take(bucket, place); }

  Gradients& to;
  size_t bucket, place;
};

Gradients::Gradients(std::shared_ptr<Ranks> ranks, std::shared_ptr<Nccl> nccl, const Network& network)
    : ranks_(std::move(ranks)), nccl_(std::move(nccl)) {
  const auto parameters = network.parameters();
  std::vector<at::Tensor> together;
  int64_t bytes = 0, most = kFirstBytes;
  for (size_t i = parameters.size(); i-- > 0;) {
    together.push_back(parameters[i]);
    bytes += static_cast<int64_t>(parameters[i].nbytes());
    if (i > 0 && bytes < most) continue;
    make_bucket(together, i == 0);
    together.clear();
    bytes = 0, most = kBytes;
  }
  if (!nccl_) thread_ = std::thread([this] { work(); });
}

Gradients::~Gradients() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  for (const Bucket& bucket : buckets_)
    for (const auto& parameter : bucket.parameters)
      torch::autograd::impl::set_post_acc_grad_hooks(parameter, nullptr);
}

void Gradients::make_bucket(const std::vector<at::Tensor>& parameters, bool is_last) {
  Bucket bucket;
  int64_t elements = 0;
  for (const auto& parameter : parameters) elements += parameter.numel();
  bucket.flat = at::zeros({elements + (is_last && !nccl_ ? kVotes : 0)},
                          parameters.front().options().dtype(at::kFloat));
  bucket.parameters = parameters;
  bucket.arrived.resize(parameters.size());
  bucket.missing = parameters.size();
  int64_t at = 0;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const auto& parameter = parameters[i];
    bucket.views.push_back(
        bucket.flat.narrow(0, at, parameter.numel()).as_strided(parameter.sizes(), parameter.strides(), at));
    at += parameter.numel();
    torch::autograd::impl::set_post_acc_grad_hooks(parameter,
                                                   std::make_unique<Hook>(*this, buckets_.size(), i));
  }
  buckets_.push_back(std::move(bucket));
}

void Gradients::begin(const Votes& votes) {
  for (Bucket& bucket : buckets_) {
    std::fill(bucket.arrived.begin(), bucket.arrived.end(), false);
    bucket.missing = bucket.parameters.size();
  }
  released_ = 0;
  if (nccl_) {
    std::array<float, kVotes> sums{votes.share, votes.stop, votes.save};
    ranks_->sum(sums.data(), kVotes);
    agreed_ = {sums[0], sums[1], sums[2]};
    return;
  }
  auto* last = buckets_.back().flat.mutable_data_ptr<float>() + buckets_.back().flat.numel() - kVotes;
  last[0] = votes.share, last[1] = votes.stop, last[2] = votes.save;
  const std::lock_guard lock(mutex_);
  ready_ = done_ = 0;
}

// On the thread that computes, as soon as a parameter has its gradient.
void Gradients::take(size_t b, size_t place) {
  const c10::NoGradGuard guard;
  Bucket& bucket = buckets_[b];
  if (bucket.arrived[place]) return;
  auto& gradient = bucket.parameters[place].mutable_grad();
  bucket.views[place].copy_(gradient);
  gradient = bucket.views[place];
  bucket.arrived[place] = true;
  if (--bucket.missing == 0) release_full();
}

void Gradients::release_full() {
  for (; released_ < buckets_.size() && buckets_[released_].missing == 0; ++released_)
    if (nccl_) nccl_->sum(buckets_[released_].flat);
  if (nccl_) return;
  {
    const std::lock_guard lock(mutex_);
    ready_ = released_;
  }
  changed_.notify_all();
}

Votes Gradients::finish() {
  const c10::NoGradGuard guard;
  for (Bucket& bucket : buckets_) {
    for (size_t i = 0; bucket.missing > 0 && i < bucket.parameters.size(); ++i) {
      if (bucket.arrived[i]) continue;
      bucket.views[i].zero_();
      bucket.parameters[i].mutable_grad() = bucket.views[i];
      bucket.arrived[i] = true;
      --bucket.missing;
    }
  }
  release_full();
  const Votes votes = added_votes();
  // Where every rank has a full batch this is 1 over their number.
  if (votes.share > 0)
    for (Bucket& bucket : buckets_) bucket.flat.mul_(1 / votes.share);
  return votes;
}

// Once all buckets are added up, or on a GPU have been asked to be.
Votes Gradients::added_votes() {
  if (nccl_) {
    nccl_->join();
    return agreed_;
  }
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return failure_ || done_ == buckets_.size(); });
  if (failure_) std::rethrow_exception(failure_);
  const auto& last = buckets_.back().flat;
  const auto* sums = last.const_data_ptr<float>() + last.numel() - kVotes;
  return {sums[0], sums[1], sums[2]};
}

void Gradients::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stop_ || done_ < ready_; });
    if (stop_) return;
    auto& flat = buckets_[done_].flat;
    lock.unlock();
    try {
      ranks_->sum(flat.mutable_data_ptr<float>(), flat.numel());
    } catch (...) {
      lock.lock();
      failure_ = std::current_exception();
      changed_.notify_all();
      return;
    }
    lock.lock();
    ++done_;
    changed_.notify_all();
  }
}

}  // namespace mode_ensemble
