// Writes weights as torch.save does, for torch.load(path, weights_only=True), mapped or not.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/contents.h"

namespace mode_ensemble {

struct TensorToWrite {
  TensorInfo info;
  std::function<const void*()>
      data;  // row-major, native byte order; called once, in order, valid until the next call
};

// {'state_dict': OrderedDict(…), 'mode_ensemble': {…}}; the second where there is metadata. The same tensors
// and metadata give the same bytes, whatever the file's name. The file appears whole or not at all.
// `zip64_from`: sizes and offsets from this on take 64 bits; smaller in tests only.
void write_torch_zip(const std::string& path, const std::vector<TensorToWrite>& tensors,
                     const std::map<std::string, std::string>& metadata, uint64_t zip64_from = 0xffffffff);

}  // namespace mode_ensemble
