#include "runtime/printable.h"

namespace mode_ensemble {
namespace {

// Length of the UTF-8 character at the start of `text`, 0 where there is none (RFC 3629).
size_t character(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char c = byte(0);
  const size_t n = c < 0x80                ? 1
                   : c >= 0xc2 && c < 0xe0 ? 2
                   : c >= 0xe0 && c < 0xf0 ? 3
                   : c >= 0xf0 && c < 0xf5 ? 4
                                           : 0;
  if (n == 0 || n > text.size()) return 0;
  for (size_t i = 1; i < n; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  if ((c == 0xe0 && byte(1) < 0xa0) || (c == 0xed && byte(1) > 0x9f)) return 0;
  if ((c == 0xf0 && byte(1) < 0x90) || (c == 0xf4 && byte(1) > 0x8f)) return 0;
  return n;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t n = character(text);
    const auto c = static_cast<unsigned char>(text[0]);
    // C1 control characters (U+0080 … U+009F) drive terminals, too.
    const bool control =
        n == 0 || c < 32 || c == 127 || (n == 2 && c == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0);
    const size_t take = n == 0 ? 1 : n;
    if (control) {
      for (size_t i = 0; i < take; ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        out += {'\\', 'x', "0123456789abcdef"[byte >> 4], "0123456789abcdef"[byte & 15]};
      }
    } else {
      out.append(text.substr(0, take));
    }
    text.remove_prefix(take);
  }
  return out;
}

}  // namespace mode_ensemble
