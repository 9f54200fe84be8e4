// The Street View House Numbers in their cropped format (http://ufldl.stanford.edu/housenumbers/).
#pragma once
#include "data/memory_reader.h"
#include "data/reader.h"
#include "runtime/byte_source.h"

namespace mode_ensemble {

// Pixels and labels of a MAT-file with `X`, uint8 [height, width, 3, N], and `y`, N numbers. All but the
// fingerprint is filled in.
MemoryImages read_svhn(const ByteSource& source, const Tick& tick);

}  // namespace mode_ensemble
