// Any bytes as a MAT-file of SVHN; then again with its variables compressed, since zlib's checksum would stop
// nearly every change of a compressed one.
#include <zlib.h>

#include <algorithm>
#include <stdexcept>

#include "data/svhn.h"
#include "exercise.h"
#include "little.h"
#include "runtime/error.h"

using namespace mode_ensemble;

namespace {

constexpr size_t kHeader = 128, kTag = 8;

std::string read(const std::string& file, const std::string& name) {
  try {
    const auto source = make_memory_source(name, {file.begin(), file.end()}, ErrorCode::data);
    const MemoryImages images = read_svhn(*source, {});
    const size_t image = size_t{3} * static_cast<size_t>(images.width) * static_cast<size_t>(images.height);
    if (images.pixels.size() != image * images.labels.size())
      throw std::logic_error("other pixels than labels");
    for (const int32_t label : images.labels)
      if (label < 0 || label > 9) throw std::logic_error("a label that is no digit");
  } catch (const Error& error) {
    if (error.code() != ErrorCode::data) throw;
    return error.what();
  }
  return "";
}

// Each variable of a little-endian file compressed for itself, as far as there are whole ones.
std::string compressed(const std::string& file) {
  std::string out = file.substr(0, kHeader);
  for (size_t at = kHeader; file.size() - at >= kTag;) {
    const size_t claimed = little_endian(file.data() + at + 4, 4);
    const std::string variable = file.substr(at, kTag + claimed);
    std::string packed(compressBound(variable.size()), '\0');
    uLongf size = packed.size();
    compress2(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(variable.data()),
              variable.size(), 1);
    packed.resize(size);
    out += little(15, 4) + little(size, 4) + packed;
    at += variable.size();
  }
  return out;
}

}  // namespace

std::string exercise(const uint8_t* data, size_t size, const std::string& name) {
  const std::string file(reinterpret_cast<const char*>(data), size);
  const std::string first = read(file, name);
  if (size > kHeader) read(compressed(file), name);
  return first;
}
