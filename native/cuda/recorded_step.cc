#include "cuda/recorded_step.h"

namespace mode_ensemble {
namespace {

constexpr int kComputedFirst = 3;

}  // namespace

RecordedStep::RecordedStep(int64_t full_batch, at::Generator dropout, Work work,
                           std::function<void(const std::string& why)> failed)
    : full_batch_(full_batch),
      dropout_(std::move(dropout)),
      work_(std::move(work)),
      failed_(std::move(failed)) {}

bool RecordedStep::fits(const std::vector<at::Tensor>& inputs) const {
  if (inputs.size() != inputs_.size()) return false;
  for (size_t i = 0; i < inputs.size(); ++i)
    if (inputs[i].sizes() != inputs_[i].sizes() || inputs[i].scalar_type() != inputs_[i].scalar_type())
      return false;
  return true;
}

at::Tensor RecordedStep::operator()(const std::vector<at::Tensor>& inputs) {
  if (is_hopeless_ || inputs[0].size(0) != full_batch_) return work_(inputs);
  if (!graph_) {
    if (computed_++ < kComputedFirst) return work_(inputs);
    record(inputs);
    if (!graph_) return work_(inputs);
  }
  if (!fits(inputs)) return work_(inputs);
  for (size_t i = 0; i < inputs.size(); ++i) inputs_[i].copy_(inputs[i], /*non_blocking=*/true);
  graph_->replay();
  return output_;
}

void RecordedStep::record(const std::vector<at::Tensor>& inputs) {
  for (const auto& input : inputs) inputs_.push_back(at::empty_like(input));
  graph_.emplace();
  if (dropout_.defined()) graph_->draws_from(dropout_);
  try {
    graph_->record([&] { output_ = work_(inputs_); });
  } catch (const c10::Error& error) {
    const std::string message = error.what_without_backtrace();
    is_hopeless_ = true;
    output_ = at::Tensor();
    graph_.reset();
    inputs_.clear();
    failed_(message.substr(0, message.find('\n')));
  }
}

}  // namespace mode_ensemble
