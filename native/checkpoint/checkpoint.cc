#include "checkpoint/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "checkpoint/formats.h"
#include "checkpoint/tensor_reader.h"
#include "runtime/error.h"
#include "runtime/printable.h"

namespace mode_ensemble {
namespace {

constexpr int64_t kHead = 512;

bool starts(const std::string& head, std::string_view with) {
  return head.compare(0, with.size(), with) == 0;
}

[[noreturn]] void refuse(const ByteSource& source, const std::string& head) {
  if (head.empty()) source.fail_at(0, "expected a checkpoint, found an empty file.");
  if (head.size() > 262 && head.compare(257, 5, "ustar") == 0)
    source.fail_at(257, "is a tar archive, as PyTorch 0.1 wrote; load it with Python and save it again.");
  if (starts(head, "version https://git-lfs"))
    source.fail_at(0, "is a pointer of Git LFS, not the checkpoint itself; run git lfs pull.");
  if (starts(head, "\x89HDF")) source.fail_at(0, "is an HDF5 file, not a torch or safetensors checkpoint.");
  if (starts(head, "<")) source.fail_at(0, "is a web page, not a checkpoint; the download went wrong.");
  if (starts(head, "\x1f\x8b")) source.fail_at(0, "is compressed by gzip; unpack it first.");
  source.fail_at(0, "expected a torch or safetensors checkpoint, found a file that begins with \"" +
                        printable(std::string_view(head).substr(0, 12)) + "\".");
}

}  // namespace

std::unique_ptr<Checkpoint> Checkpoint::open(const std::string& path, const std::string& want) {
  return open(open_file_source(path), want);
}

std::unique_ptr<Checkpoint> Checkpoint::open(std::shared_ptr<const ByteSource> source,
                                             const std::string& want) {
  std::string head(static_cast<size_t>(std::min(source->size(), kHead)), '\0');
  source->read_at(0, head.data(), static_cast<int64_t>(head.size()));
  std::unique_ptr<Checkpoint> checkpoint(new Checkpoint);
  checkpoint->source_ = source;
  if (starts(head, "PK\x03\x04") || starts(head, "PK\x05\x06"))
    read_torch_zip(source, want, checkpoint->contents_);
  else if (starts(head, "\x80") && head.size() > 1 && head[1] <= 5)
    read_torch_legacy(*source, want, checkpoint->contents_);
  else if (head.size() > 8 && head[8] == '{')
    read_safetensors(*source, want, checkpoint->contents_);
  else
    refuse(*source, head);
  return checkpoint;
}

const std::vector<Checkpoint::Weight>& Checkpoint::weights() const {
  if (!contents_.weights_error.empty()) throw Error(ErrorCode::checkpoint, contents_.weights_error);
  return contents_.weights;
}

const std::string& Checkpoint::weights_in() const {
  if (!contents_.weights_error.empty()) throw Error(ErrorCode::checkpoint, contents_.weights_error);
  return contents_.weights_in;
}

void Checkpoint::read(size_t tensor, DType as, void* to) const {
  const TensorPlace& place = contents_.places.at(tensor);
  read_tensor(*source_, contents_.storages[place.storage], place, contents_.tensors[tensor], as, to);
}

}  // namespace mode_ensemble
