#include "extract/feature_file.h"

#include <algorithm>

namespace mode_ensemble {

FeatureFile::FeatureFile(const std::string& path, std::vector<TensorEntry> columns, int64_t capacity,
                         std::map<std::string, std::string> metadata)
    : columns_(std::move(columns)), metadata_(std::move(metadata)), capacity_(capacity), file_(path) {
  places_ = laid_out(capacity_);
  head_size_ = static_cast<int64_t>(layout_safetensors(places_, metadata_).size());
  file_.resize(head_size_ + (places_.empty() ? 0 : places_.back().end));
}

std::vector<TensorEntry> FeatureFile::laid_out(int64_t rows) const {
  auto entries = columns_;
  for (auto& entry : entries) entry.shape.insert(entry.shape.begin(), rows);
  return entries;
}

void FeatureFile::append(const std::vector<at::Tensor>& rows) {
  const int64_t count = rows.front().size(0);
  for (size_t i = 0; i < columns_.size(); ++i) {
    const int64_t row_bytes = columns_[i].elements() * dtype_size(columns_[i].dtype);
    TORCH_CHECK(rows[i].is_contiguous() && static_cast<int64_t>(rows[i].nbytes()) == count * row_bytes,
                "feature column ", columns_[i].name, " has another size than laid out");
    file_.write_at(head_size_ + places_[i].begin + rows_ * row_bytes, rows[i].const_data_ptr(),
                   count * row_bytes);
  }
  rows_ += count;
}

void FeatureFile::commit() {
  auto entries = laid_out(rows_);
  // Never longer than the header for all rows: the same text with smaller numbers.
  const std::string head = layout_safetensors(entries, metadata_, head_size_);
  if (rows_ < capacity_) {
    // Sections only move towards the start, so copying in order is safe.
    std::vector<char> buffer(1 << 20);
    for (size_t i = 0; i < entries.size(); ++i) {
      const int64_t bytes = entries[i].end - entries[i].begin;
      for (int64_t at = 0; at < bytes; at += static_cast<int64_t>(buffer.size())) {
        const int64_t n = std::min<int64_t>(static_cast<int64_t>(buffer.size()), bytes - at);
        file_.read_at(head_size_ + places_[i].begin + at, buffer.data(), n);
        file_.write_at(head_size_ + entries[i].begin + at, buffer.data(), n);
      }
    }
    file_.resize(head_size_ + entries.back().end);
  }
  file_.write_at(0, head.data(), static_cast<int64_t>(head.size()));
  file_.commit();
}

}  // namespace mode_ensemble
