// As much JSON as a safetensors header has: a strict reader over bytes that may be hostile, and string
// quoting.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace mode_ensemble {

// A cursor. Each call passes over white space, takes one thing, or throws Error(checkpoint) naming file and
// byte.
class JsonCursor {
 public:
  JsonCursor(const std::string& file, std::string_view text, int64_t offset)
      : file_(file), text_(text), offset_(offset) {}

  char peek();        // next character that is not white space; 0 at the end
  bool take(char c);  // true and moves on if it is next
  void expect(char c);
  std::string string();    // UTF-8; \u escapes with surrogate pairs
  int64_t whole_number();  // 0 … 2^53
  void end();
  [[noreturn]] void fail(const std::string& expected);

 private:
  uint32_t hex4();
  const std::string& file_;
  std::string_view text_;
  int64_t offset_;  // of text_ within the file, for messages
  size_t at_ = 0;
};

std::string json_quote(std::string_view text);

}  // namespace mode_ensemble
