// Some images of a set, as a set of its own.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "data/reader.h"

namespace mode_ensemble {

class PickedReader : public Reader {
 public:
  // The images at `places`, which must be there, in that order.
  PickedReader(std::shared_ptr<const Reader> whole, std::vector<int64_t> places)
      : whole_(std::move(whole)), places_(std::move(places)) {}

  int64_t size() const override { return static_cast<int64_t>(places_.size()); }
  const std::vector<std::string>& class_names() const override { return whole_->class_names(); }
  int64_t label(int64_t index) const override { return whole_->label(at(index)); }
  std::string name(int64_t index) const override { return whole_->name(at(index)); }
  void fetch(int64_t index, Sample& sample) const override { whole_->fetch(at(index), sample); }
  // Of the whole set: who picks knows which ones it picked.
  const std::string& fingerprint() const override { return whole_->fingerprint(); }

 private:
  int64_t at(int64_t index) const { return places_[static_cast<size_t>(index)]; }

  std::shared_ptr<const Reader> whole_;
  std::vector<int64_t> places_;
};

}  // namespace mode_ensemble
