#include "train/state.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "checkpoint/tensor_file.h"
#include "runtime/error.h"

namespace mode_ensemble {
namespace {

namespace fs = std::filesystem;

constexpr const char* kOlder = "state-";
constexpr const char* kSuffix = ".safetensors";

std::vector<std::pair<std::string, at::Tensor>> tensors_of(const Moving& moving) {
  std::vector<std::pair<std::string, at::Tensor>> all;
  const auto add = [&](const std::string& kind, const std::vector<NamedTensor>& tensors) {
    for (const auto& one : tensors) all.emplace_back(kind + "." + one.name, one.tensor);
  };
  add("weights", moving.network.weights());
  add("optimizer", moving.optimizer.memory());
  if (moving.ema) add("ema", moving.ema->means());
  return all;
}

// The number in state-<steps>.safetensors; below 0 for other names.
int64_t steps_in(const std::string& name) {
  const std::string_view start = kOlder, end = kSuffix;
  if (!name.starts_with(start) || !name.ends_with(end) || name.size() <= start.size() + end.size()) return -1;
  int64_t steps = -1;
  const char* last = name.data() + name.size() - end.size();
  const auto result = std::from_chars(name.data() + start.size(), last, steps);
  return result.ec == std::errc() && result.ptr == last ? steps : -1;
}

}  // namespace

void StateFile::save(const Moving& moving, const Position& position,
                     std::map<std::string, std::string> metadata) {
  auto tensors = tensors_of(moving);
  tensors.emplace_back("position", at::tensor({position.epoch, position.batches, position.steps,
                                               position.epoch_sums.images, position.window.images},
                                              at::kLong));
  const auto sums = at::stack({position.epoch_sums.sums.cpu(), position.window.sums.cpu()});
  tensors.emplace_back("sums", sums.contiguous().view(at::kLong));
  metadata["epoch"] = std::to_string(position.epoch);
  metadata["batches"] = std::to_string(position.batches);
  metadata["steps"] = std::to_string(position.steps);
  if (keep_ > 1 && saved_steps_ >= 0 && saved_steps_ != position.steps) set_aside();
  write_tensors(path(), tensors, metadata);
  saved_steps_ = position.steps;
  drop_oldest();
}

Position StateFile::load(const std::string& from, const Moving& moving) {
  const auto wanted = tensors_of(moving);
  std::vector<std::string> names{"position", "sums"};
  for (const auto& [name, tensor] : wanted) names.push_back(name);
  const auto found = read_tensors(from, names);
  const auto require = [&](const std::string& name, const at::Tensor& like) {
    const auto& tensor = found.at(name);
    if (tensor.sizes() == like.sizes() && tensor.scalar_type() == like.scalar_type()) return tensor;
    throw Error(ErrorCode::checkpoint, from + ": tensor \"" + name + "\": expected " + like.toString() +
                                           " of shape " + c10::str(like.sizes()) + ", found " +
                                           tensor.toString() + " " + c10::str(tensor.sizes()) + ".");
  };
  const auto numbers = require("position", at::empty({5}, at::kLong));
  const auto sums = require("sums", at::empty({2, 3}, at::kLong)).view(at::kDouble);
  const c10::NoGradGuard no_grad;
  for (const auto& [name, tensor] : wanted) {
    auto to = tensor;
    to.copy_(require(name, tensor));
  }
  const auto* number = numbers.const_data_ptr<int64_t>();
  if (*std::min_element(number, number + 5) < 0)
    throw Error(ErrorCode::checkpoint, from + ": tensor \"position\": expected numbers of at least 0.");
  Position position{
      number[0], number[1], number[2], {sums[0].clone(), number[3]}, {sums[1].clone(), number[4]}};
  saved_steps_ = position.steps;
  return position;
}

// A second name for the newest: at no moment is there no state.
void StateFile::set_aside() const {
  const auto older = folder_ + "/" + kOlder + std::to_string(saved_steps_) + kSuffix;
  std::error_code failed;
  fs::remove(older, failed);
  fs::create_hard_link(path(), older, failed);
  if (!failed) return;
  // A file system without hard links.
  const auto part = older + ".tmp";
  fs::copy_file(path(), part, fs::copy_options::overwrite_existing, failed);
  if (!failed) fs::rename(part, older, failed);
}

void StateFile::drop_oldest() const {
  std::vector<std::pair<int64_t, fs::path>> older;
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(folder_, failed)) {
    const int64_t steps = steps_in(entry.path().filename().string());
    if (steps >= 0) older.emplace_back(steps, entry.path());
  }
  std::sort(older.rbegin(), older.rend());
  for (size_t i = static_cast<size_t>(keep_ - 1); i < older.size(); ++i) fs::remove(older[i].second, failed);
}

}  // namespace mode_ensemble
