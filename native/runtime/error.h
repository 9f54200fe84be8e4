// The one exception type of the native code: a code that programs switch on and one sentence for a person.
#pragma once
#include <stdexcept>
#include <string>

namespace mode_ensemble {

// Spelled as in lib/config/errors.ts.
enum class ErrorCode { aborted, checkpoint, config, data, device, io, memory, numeric };

const char* error_code_name(ErrorCode code);  // "E_ABORTED", ...

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace mode_ensemble
