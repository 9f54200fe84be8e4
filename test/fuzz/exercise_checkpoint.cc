// Any bytes as a checkpoint. An input that begins with "pickle:" is put into a right zip archive first, since
// the checksum of data.pkl would stop nearly every change of a whole file.
#include <vector>

#include "build_zip.h"
#include "checkpoint/checkpoint.h"
#include "exercise.h"
#include "runtime/error.h"

using namespace mode_ensemble;

namespace {

constexpr int64_t kReadBudget = 16 << 20;
constexpr size_t kMaxReads = 500;

std::string archive_of(const std::string& pickle) {
  std::vector<TestRecord> records{{"data.pkl", pickle}, {"byteorder", "little"}};
  // The corpus's pickles name storages of this size (make_corpus.py).
  for (int i = 0; i < 8; ++i)
    records.push_back({"data/" + std::to_string(i), std::string(48, static_cast<char>('0' + i))});
  return build_zip(records);
}

}  // namespace

std::string exercise(const uint8_t* data, size_t size, const std::string& name) {
  static constexpr char kPrefix[] = "pickle:";
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (text.starts_with(kPrefix)) {
    const std::string archive = archive_of(std::string(text.substr(sizeof kPrefix - 1)));
    return exercise(reinterpret_cast<const uint8_t*>(archive.data()), archive.size(), name);
  }
  std::string first;
  const auto attempt = [&](auto&& action) {
    try {
      action();
    } catch (const Error& error) {
      if (error.code() != ErrorCode::checkpoint) throw;
      if (first.empty()) first = error.what();
    }
  };
  std::unique_ptr<Checkpoint> checkpoint;
  attempt([&] { checkpoint = Checkpoint::open(make_memory_source(name, {data, data + size})); });
  if (!checkpoint) return first;
  attempt([&] { checkpoint->weights(); });
  attempt([&] { checkpoint->weights_in(); });
  size_t length = checkpoint->format().size() + checkpoint->metadata().size();
  for (const auto& [path, value] : checkpoint->values()) length += path.size() + value.size();
  int64_t budget = kReadBudget;
  for (size_t i = 0; i < checkpoint->tensors().size() && i < kMaxReads; ++i) {
    const TensorInfo& info = checkpoint->tensors()[i];
    length += info.name.size();
    // Whoever opens a file may trust these products: the shape was checked against the storage.
    const int64_t elements = info.elements(), bytes = elements * 16;
    if (elements > kReadBudget || bytes > budget) continue;
    budget -= bytes;
    for (const DType as : {info.dtype, DType::f32, DType::i64}) {
      std::vector<uint8_t> out(static_cast<size_t>(elements * size_of(as)));
      attempt([&] { checkpoint->read(i, as, out.data()); });
    }
  }
  // A use of the sum, so that the walk over every name and text is not optimised away.
  return length < SIZE_MAX ? first : "";
}
