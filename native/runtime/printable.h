// Text out of a file that may be hostile, fit for a terminal.
#pragma once
#include <string>
#include <string_view>

namespace mode_ensemble {

// The same text where it is UTF-8 without control characters; other bytes are escaped (\x1b).
std::string printable(std::string_view text);

}  // namespace mode_ensemble
