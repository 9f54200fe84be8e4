#include "runtime/failure.h"

#include <c10/util/Exception.h>

#include <new>

namespace mode_ensemble {

Error current_failure() {
  try {
    throw;
  } catch (const Error& error) {
    return error;
  } catch (const std::bad_alloc&) {
    return Error(ErrorCode::memory, "There is not enough memory; a smaller batch size needs less.");
  } catch (const c10::Error& error) {
    const std::string message = error.what_without_backtrace();
    // c10's CPU allocator reports a failed allocation in these words.
    if (message.find("can't allocate memory") != std::string::npos ||
        message.find("out of memory") != std::string::npos)
      return Error(ErrorCode::memory,
                   "There is not enough memory (" + message + "); a smaller batch size needs less.");
    // c10's words for what the CUDA runtime reports.
    if (message.find("CUDA error") != std::string::npos)
      return Error(ErrorCode::device, "The GPU failed: " + message.substr(0, message.find('\n')));
    return Error(ErrorCode::numeric, "LibTorch failed: " + message);
  } catch (const std::exception& error) {
    return Error(ErrorCode::numeric, std::string("An unexpected failure: ") + error.what());
  } catch (...) {
    return Error(ErrorCode::numeric, "An unexpected failure of unknown kind.");
  }
}

}  // namespace mode_ensemble
