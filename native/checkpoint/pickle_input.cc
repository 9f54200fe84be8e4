#include <algorithm>
#include <cstring>

#include "checkpoint/pickle.h"

namespace mode_ensemble {
namespace {

constexpr int64_t kWindow = 64 << 10;

}  // namespace

PickleInput::PickleInput(const ByteSource& source, int64_t begin, int64_t end)
    : source_(source), end_(end), window_at_(begin) {}

void PickleInput::require(int64_t n) const {
  if (n > left()) fail("expected " + std::to_string(n) + " bytes of a pickle, found its end.");
}

void PickleInput::fill() {
  window_at_ += static_cast<int64_t>(at_);
  at_ = 0;
  window_.resize(static_cast<size_t>(std::min(kWindow, end_ - window_at_)));
  source_.read_at(window_at_, window_.data(), static_cast<int64_t>(window_.size()));
}

uint8_t PickleInput::byte() {
  if (at_ == window_.size()) {
    require(1);
    fill();
  }
  return window_[at_++];
}

void PickleInput::read(void* to, int64_t n) {
  require(n);
  auto* out = static_cast<uint8_t*>(to);
  while (n > 0) {
    if (at_ == window_.size()) fill();
    const int64_t take = std::min(n, static_cast<int64_t>(window_.size() - at_));
    std::memcpy(out, &window_[at_], static_cast<size_t>(take));
    at_ += static_cast<size_t>(take);
    out += take, n -= take;
  }
}

void PickleInput::skip(int64_t n) {
  require(n);
  const int64_t to = offset() + n;
  if (to <= window_at_ + static_cast<int64_t>(window_.size())) {
    at_ += static_cast<size_t>(n);
    return;
  }
  window_.clear();
  window_at_ = to;
  at_ = 0;
}

uint64_t PickleInput::number(int bytes) {
  uint8_t buffer[8];
  read(buffer, bytes);
  return little_endian(buffer, bytes);
}

std::string PickleInput::line(size_t most) {
  std::string text;
  while (true) {
    const auto c = static_cast<char>(byte());
    if (c == '\n') return text;
    if (text.size() >= most) fail("expected the end of a line, found a longer one.");
    text += c;
  }
}

}  // namespace mode_ensemble
