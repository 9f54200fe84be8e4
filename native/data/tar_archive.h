// Tar archives: POSIX ustar and pax, and GNU's, uncompressed, as data from outside.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "runtime/byte_source.h"

namespace mode_ensemble {

// An archive, or one that lies in another: bytes of `source`.
struct TarRange {
  const ByteSource& source;
  uint64_t begin = 0;
  uint64_t end = 0;
  std::string inside;  // the member that it is, '' for the source itself
};

struct TarMember {
  std::string
      path;  // without "./" and doubled slashes; for a folder without the last slash, '' for "./" itself
  bool is_folder = false;
  uint64_t offset = 0;  // of the content, in the source
  uint64_t size = 0;
};

// Calls `member` for each file and folder, in their order; devices and pipes are passed over. Throws
// Error(data) that names the source and the byte: of a header whose checksum is wrong, of a member that
// reaches beyond the end, of an archive that has no end, and of what is not read: links, sparse files, parts
// of several volumes, compressed archives.
void read_tar(const TarRange& range, const std::function<void(TarMember&&)>& member);

}  // namespace mode_ensemble
