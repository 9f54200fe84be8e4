#include "checkpoint/json.h"

#include <cstdio>

#include "runtime/error.h"

namespace mode_ensemble {

void JsonCursor::fail(const std::string& expected) {
  std::string found = "the end of the header";
  if (at_ < text_.size()) {
    char buffer[16];
    const auto c = static_cast<unsigned char>(text_[at_]);
    if (c >= 32 && c < 127)
      std::snprintf(buffer, sizeof buffer, "'%c'", c);
    else
      std::snprintf(buffer, sizeof buffer, "byte 0x%02x", c);
    found = buffer;
  }
  throw Error(ErrorCode::checkpoint, file_ + ": byte " + std::to_string(offset_ + static_cast<int64_t>(at_)) +
                                         " of the header: expected " + expected + ", found " + found + ".");
}

char JsonCursor::peek() {
  while (at_ < text_.size() &&
         (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r'))
    ++at_;
  return at_ < text_.size() ? text_[at_] : '\0';
}

bool JsonCursor::take(char c) {
  if (peek() != c || at_ >= text_.size()) return false;
  ++at_;
  return true;
}

void JsonCursor::expect(char c) {
  if (!take(c)) fail(std::string("'") + c + "'");
}

uint32_t JsonCursor::hex4() {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = at_ < text_.size() ? text_[at_] : '\0';
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) fail("four hexadecimal digits");
    value = value * 16 + static_cast<uint32_t>(digit);
    ++at_;
  }
  return value;
}

std::string JsonCursor::string() {
  expect('"');
  std::string out;
  while (true) {
    if (at_ >= text_.size()) fail("the end of a string");
    const char c = text_[at_];
    if (static_cast<unsigned char>(c) < 0x20) fail("no control character in a string");
    ++at_;
    if (c == '"') return out;
    if (c != '\\') {
      out += c;
      continue;
    }
    const char escape = at_ < text_.size() ? text_[at_] : '\0';
    constexpr std::string_view from = "\"\\/bfnrt", to = "\"\\/\b\f\n\r\t";
    if (const auto i = from.find(escape); escape != '\0' && i != std::string_view::npos) {
      out += to[i];
      ++at_;
      continue;
    }
    if (escape != 'u') fail("an escape character");
    ++at_;
    uint32_t code = hex4();
    if (code >= 0xd800 && code < 0xdc00) {
      if (text_.substr(at_, 2) != "\\u") fail("the second half of a surrogate pair");
      at_ += 2;
      const uint32_t low = hex4();
      if (low < 0xdc00 || low > 0xdfff) fail("the second half of a surrogate pair");
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xdc00 && code < 0xe000) {
      fail("no lone surrogate");
    }
    if (code < 0x80) {
      out += static_cast<char>(code);
    } else if (code < 0x800) {
      out += static_cast<char>(0xc0 | (code >> 6));
      out += static_cast<char>(0x80 | (code & 63));
    } else if (code < 0x10000) {
      out += static_cast<char>(0xe0 | (code >> 12));
      out += static_cast<char>(0x80 | ((code >> 6) & 63));
      out += static_cast<char>(0x80 | (code & 63));
    } else {
      out += static_cast<char>(0xf0 | (code >> 18));
      out += static_cast<char>(0x80 | ((code >> 12) & 63));
      out += static_cast<char>(0x80 | ((code >> 6) & 63));
      out += static_cast<char>(0x80 | (code & 63));
    }
  }
}

int64_t JsonCursor::whole_number() {
  peek();
  const size_t start = at_;
  int64_t value = 0;
  while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') {
    value = value * 10 + (text_[at_] - '0');
    if (value > (int64_t{1} << 53)) fail("a number of at most 2^53");
    ++at_;
  }
  if (at_ == start || (at_ - start > 1 && text_[start] == '0')) fail("a whole number");
  return value;
}

void JsonCursor::end() {
  if (peek() != '\0' || at_ < text_.size()) fail("the end of the header");
}

std::string json_quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char buffer[8];
      std::snprintf(buffer, sizeof buffer, "\\u%04x", static_cast<unsigned char>(c));
      out += buffer;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

}  // namespace mode_ensemble
