#include "checkpoint/tensor_reader.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>

namespace mode_ensemble {
namespace {

// Small enough that what was read is still in the cache when its checksum is taken and it is converted.
constexpr int64_t kChunk = 256 << 10;
// A view whose elements do not follow the file's order in any nesting is read as a whole, up to this.
constexpr int64_t kMaxGather = 64 << 20;

// A dimension in the order of the file: elements `from` apart there, `to` apart in the result.
struct Dimension {
  int64_t size, from, to;
};

class Pass {
 public:
  Pass(const ByteSource& source, const StoragePlace& storage, const TensorInfo& info, DType as)
      : source_(source),
        storage_(storage),
        info_(info),
        as_(as),
        item_(size_of(info.dtype)),
        out_item_(size_of(as)),
        verify_(storage.has_crc && !storage.verified.load(std::memory_order_acquire)),
        crc_(crc32(0, nullptr, 0)) {}

  // Elements [first, first + n) of the storage, in order, straight to `to`.
  void contiguous(int64_t first_byte, int64_t n, uint8_t* to) {
    skip_to(first_byte);
    if (info_.dtype == as_) {
      for (int64_t left = n * item_; left > 0;) {
        const int64_t take = std::min(left, kChunk);
        take_bytes(to, take);
        if (storage_.swap) swap_bytes(to, take / item_, item_);
        to += take, left -= take;
      }
    } else {
      for (int64_t left = n; left > 0;) {
        const int64_t take = std::min(left, kChunk / item_);
        fetch(take);
        convert(buffer_.data(), to, take);
        to += take * out_item_, left -= take;
      }
    }
    finish();
  }

  // Elements in an order that never goes back in the file. `span`: elements from the first to the last.
  void scattered(int64_t first_byte, const std::vector<Dimension>& dimensions, int64_t span, uint8_t* to) {
    skip_to(first_byte);
    std::vector<int64_t> index(dimensions.size(), 0);
    std::vector<uint8_t> converted(static_cast<size_t>(std::min(span, kChunk / item_) * out_item_));
    int64_t from = 0, at = 0, window = 0, window_end = 0;
    const Dimension& inner = dimensions.back();
    while (true) {
      for (int64_t i = 0; i < inner.size; ++i, from += inner.from, at += inner.to) {
        while (from >= window_end) {
          window = window_end;
          const int64_t take = std::min(span - window, kChunk / item_);
          fetch(take);
          convert(buffer_.data(), converted.data(), take);
          window_end += take;
        }
        copy_one(to + at * out_item_, &converted[static_cast<size_t>((from - window) * out_item_)]);
      }
      from -= inner.size * inner.from, at -= inner.size * inner.to;
      size_t d = dimensions.size() - 1;
      while (d-- > 0) {
        from += dimensions[d].from, at += dimensions[d].to;
        if (++index[d] < dimensions[d].size) break;
        from -= dimensions[d].size * dimensions[d].from, at -= dimensions[d].size * dimensions[d].to;
        index[d] = 0;
      }
      if (d == static_cast<size_t>(-1)) break;
    }
    finish();
  }

  // Elements in any order, out of memory.
  void gathered(int64_t first_byte, const std::vector<Dimension>& dimensions, int64_t span, uint8_t* to) {
    if (span > kMaxGather / item_)
      source_.fail_at(
          storage_.offset + first_byte,
          "tensor \"" + info_.name + "\": its elements overlap over more than 64 MiB; save a copy of it.");
    std::vector<uint8_t> all(static_cast<size_t>(span * out_item_));
    contiguous(first_byte, span, all.data());
    std::vector<int64_t> index(dimensions.size(), 0);
    int64_t from = 0, at = 0;
    while (true) {
      copy_one(to + at * out_item_, &all[static_cast<size_t>(from * out_item_)]);
      size_t d = dimensions.size();
      while (d-- > 0) {
        from += dimensions[d].from, at += dimensions[d].to;
        if (++index[d] < dimensions[d].size) break;
        from -= dimensions[d].size * dimensions[d].from, at -= dimensions[d].size * dimensions[d].to;
        index[d] = 0;
      }
      if (d == static_cast<size_t>(-1)) return;
    }
  }

  // Whatever of the storage was not read yet goes into the checksum only.
  void finish() {
    if (!verify_) return;
    while (at_ < storage_.size) fetch_bytes(std::min(kChunk, storage_.size - at_));
    if (crc_ != storage_.crc)
      source_.fail_at(storage_.offset,
                      "record \"" + storage_.name + "\": its checksum is wrong: the file is damaged.");
    storage_.verified.store(true, std::memory_order_release);
  }

 private:
  void skip_to(int64_t byte) {
    if (!verify_) {
      at_ = byte;
      return;
    }
    while (at_ < byte) fetch_bytes(std::min(kChunk, byte - at_));
  }
  void take_bytes(uint8_t* to, int64_t n) {
    source_.read_at(storage_.offset + at_, to, n);
    if (verify_) crc_ = crc32(crc_, to, static_cast<uInt>(n));
    at_ += n;
  }
  void fetch_bytes(int64_t n) {
    if (static_cast<int64_t>(buffer_.size()) < n) buffer_.resize(static_cast<size_t>(n));
    take_bytes(buffer_.data(), n);
  }
  void fetch(int64_t elements) {
    fetch_bytes(elements * item_);
    if (storage_.swap) swap_bytes(buffer_.data(), elements, item_);
  }
  void convert(const uint8_t* from, uint8_t* to, int64_t n) const {
    if (!convert_elements(info_.dtype, from, as_, to, n))
      source_.fail_at(storage_.offset + at_, "tensor \"" + info_.name + "\": a value of type " +
                                                 dtype_name(info_.dtype) + " before here does not fit " +
                                                 dtype_name(as_) + ".");
  }
  void copy_one(uint8_t* to, const uint8_t* from) const {
    switch (out_item_) {
      case 1:
        *to = *from;
        return;
      case 2:
        std::memcpy(to, from, 2);
        return;
      case 4:
        std::memcpy(to, from, 4);
        return;
      case 8:
        std::memcpy(to, from, 8);
        return;
      default:
        std::memcpy(to, from, static_cast<size_t>(out_item_));
    }
  }

  const ByteSource& source_;
  const StoragePlace& storage_;
  const TensorInfo& info_;
  const DType as_;
  const int64_t item_, out_item_;
  const bool verify_;
  uLong crc_;
  int64_t at_ = 0;  // next byte of the storage
  std::vector<uint8_t> buffer_;
};

}  // namespace

void read_tensor(const ByteSource& source, const StoragePlace& storage, const TensorPlace& place,
                 const TensorInfo& info, DType as, void* to) {
  const int64_t where = storage.offset + place.first_byte;
  if (place.fault[0] != '\0')
    source.fail_at(where, "tensor \"" + info.name + "\" is " + place.fault +
                              ", which cannot be read; save a copy of it.");
  if (!convertible(info.dtype, as))
    source.fail_at(where, "tensor \"" + info.name + "\" is of type " + dtype_name(info.dtype) +
                              ", which cannot be read as " + dtype_name(as) + ".");
  Pass pass(source, storage, info, as);
  const int64_t elements = info.elements();
  auto* out = static_cast<uint8_t*>(to);
  if (elements == 0) return pass.finish();

  const auto target = row_major_strides(info.shape);
  std::vector<Dimension> dimensions;
  bool contiguous = true;
  for (size_t i = 0; i < info.shape.size(); ++i) {
    if (info.shape[i] == 1) continue;
    dimensions.push_back({info.shape[i], place.strides[i], target[i]});
    contiguous = contiguous && place.strides[i] == target[i];
  }
  if (contiguous) return pass.contiguous(place.first_byte, elements, out);

  int64_t span = 1;
  for (const Dimension& d : dimensions) span += (d.size - 1) * d.from;
  // Sorted by stride, the walk never goes back if each step is at least as long as all inner ones together.
  std::stable_sort(dimensions.begin(), dimensions.end(),
                   [](const Dimension& a, const Dimension& b) { return a.from > b.from; });
  int64_t inner = 0;
  bool forward = true;
  for (size_t i = dimensions.size(); i-- > 0;) {
    forward = forward && dimensions[i].from >= inner;
    inner += (dimensions[i].size - 1) * dimensions[i].from;
  }
  if (forward)
    pass.scattered(place.first_byte, dimensions, span, out);
  else
    pass.gathered(place.first_byte, dimensions, span, out);
}

}  // namespace mode_ensemble
