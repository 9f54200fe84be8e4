#include "runtime/error.h"

namespace mode_ensemble {

const char* error_code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::aborted:
      return "E_ABORTED";
    case ErrorCode::checkpoint:
      return "E_CHECKPOINT";
    case ErrorCode::config:
      return "E_CONFIG";
    case ErrorCode::data:
      return "E_DATA";
    case ErrorCode::device:
      return "E_DEVICE";
    case ErrorCode::io:
      return "E_IO";
    case ErrorCode::memory:
      return "E_MEMORY";
    case ErrorCode::numeric:
      return "E_NUMERIC";
  }
  return "E_NUMERIC";
}

}  // namespace mode_ensemble
