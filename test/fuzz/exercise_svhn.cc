// Any bytes as a MAT-file of SVHN.
#include "data/svhn.h"
#include "exercise.h"
#include "runtime/error.h"

using namespace mode_ensemble;

std::string exercise(const uint8_t* data, size_t size, const std::string& name) {
  try {
    const MemoryImages images =
        read_svhn(*make_memory_source(name, {data, data + size}, ErrorCode::data), {});
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
