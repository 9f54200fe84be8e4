// Reads one tensor's elements, whatever their order in the file, in one pass through a small buffer.
#pragma once
#include "checkpoint/contents.h"
#include "runtime/byte_source.h"

namespace mode_ensemble {

// Writes info.elements() elements of type `as` to `to`, row-major. Checks the checksum of the whole storage
// unless that was done before. Throws Error(checkpoint).
void read_tensor(const ByteSource& source, const StoragePlace& storage, const TensorPlace& place,
                 const TensorInfo& info, DType as, void* to);

}  // namespace mode_ensemble
