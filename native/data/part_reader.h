// A run of images of a set, as a set of its own.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "data/reader.h"

namespace mode_ensemble {

class PartReader : public Reader {
 public:
  // Images `first` to `first + count` - 1, which must be there.
  PartReader(std::shared_ptr<const Reader> whole, int64_t first, int64_t count)
      : whole_(std::move(whole)), first_(first), count_(count) {}

  int64_t size() const override { return count_; }
  const std::vector<std::string>& class_names() const override { return whole_->class_names(); }
  int64_t label(int64_t index) const override { return whole_->label(first_ + index); }
  std::string name(int64_t index) const override { return whole_->name(first_ + index); }
  void fetch(int64_t index, Sample& sample) const override { whole_->fetch(first_ + index, sample); }
  // Of the whole set: who asks for a part knows which one it is.
  const std::string& fingerprint() const override { return whole_->fingerprint(); }

 private:
  std::shared_ptr<const Reader> whole_;
  int64_t first_, count_;
};

}  // namespace mode_ensemble
