// The images of a tar archive in the order, with the labels and the names of the reader 'folder' for the
// unpacked tree.
#pragma once
#include <string>

#include "data/file_set.h"
#include "runtime/byte_source.h"

namespace mode_ensemble {

// `stem` is the class of a set without folders. Throws Error(data).
FileSet index_tar(const ByteSource& source, const std::string& stem, const std::string& split,
                  int64_t threads, const Tick& tick);

}  // namespace mode_ensemble
