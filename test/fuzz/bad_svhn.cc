// MAT-files that are wrong in a known way. Each must end in Error(data) that names the file.
#include <zlib.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "bad.h"
#include "little.h"

namespace {

std::string element(uint64_t type, const std::string& data, uint64_t claimed = UINT64_MAX) {
  const std::string padding((8 - data.size() % 8) % 8, '\0');
  return little(type, 4) + little(claimed == UINT64_MAX ? data.size() : claimed, 4) + data + padding;
}

struct Array {
  std::string name = "X";
  std::vector<uint64_t> shape = {2, 2, 3, 4};
  uint64_t kind = 9, storage = 2, flags = 0;
  std::string data = std::string(48, 'a');
  uint64_t claimed = UINT64_MAX;
};

std::string matrix(const Array& array) {
  std::string shape;
  for (const uint64_t side : array.shape) shape += little(side, 4);
  return element(14, element(6, little(array.kind | array.flags << 8, 4) + little(0, 4)) + element(5, shape) +
                         element(1, array.name) + element(array.storage, array.data, array.claimed));
}

Array labels(const std::string& digits = std::string("\x0a\x01\x02\x09", 4)) {
  return {"y", {digits.size(), 1}, 9, 2, 0, digits};
}

std::string packed(const std::string& content) {
  std::string out(compressBound(content.size()), '\0');
  uLongf size = out.size();
  compress2(reinterpret_cast<Bytef*>(out.data()), &size, reinterpret_cast<const Bytef*>(content.data()),
            content.size(), 9);
  out.resize(size);
  return out;
}
std::string compressed(const std::string& content) {
  const std::string data = packed(content);
  return little(15, 4) + little(data.size(), 4) + data;
}

std::string header(uint64_t version = 0x0100, const std::string& order = "IM") {
  std::string text = "MATLAB 5.0 MAT-file";
  text.resize(124, ' ');
  return text + little(version, 2) + order;
}
std::string file(const Array& images, const Array& digits = labels()) {
  return header() + matrix(images) + matrix(digits);
}

void both(const std::string& what, const Array& images, const std::string& words = "",
          const Array& digits = labels()) {
  check(what, file(images, digits), words);
  check(what + ", compressed", header() + compressed(matrix(images)) + compressed(matrix(digits)), words);
}

void cut_everywhere() {
  const std::string plain = file({});
  const std::string small = header() + compressed(matrix({})) + compressed(matrix(labels()));
  for (const auto& [kind, whole] : {std::pair("plain", plain), std::pair("compressed", small)}) {
    check(std::string("right ") + kind, whole, "", false);
    check(std::string("trailing garbage, ") + kind, whole + repeat("\xff", 1000), "", false);
    // Four bytes pad the labels of the plain file: nobody reads them, but they belong to the variable.
    for (size_t n = 0; n < whole.size(); ++n)
      check(std::string("cut ") + kind + " at " + std::to_string(n), whole.substr(0, n));
  }
}

void headers() {
  check("version 7.3", header(0x0200) + repeat(std::string(1, '\0'), 384) + "\x89HDF\r\n\x1a\n", "HDF5");
  check("HDF5 alone", "\x89HDF\r\n\x1a\n" + std::string(200, '\0'), "HDF5");
  check(
      "version 4",
      little(0, 4) + little(2, 4) + little(2, 4) + little(0, 4) + little(2, 4) + "X" + std::string(99, '\0'),
      "version 4");
  check("version 4, big-endian", std::string("\0\0\x03\xe8", 4) + std::string(200, '\0'), "version 4");
  check("version 3", header(0x0300), "version number 3");
  check("another byte order", header(0x0100, "XX"), "IM");
  check("text", std::string(500, 'a'), "another file");
  check("no variable", header(), "no 'X'");
  check("empty", "");
}

void variables() {
  constexpr uint64_t kHuge = 0x7fffffff;
  both("only y", {"Z"}, "no 'X' but 'Z'");
  both("no y", {}, "no 'y'", {"z"});
  both("X twice", {}, "a second", {});
  both("X of doubles", {"X", {2, 2, 3, 4}, 6, 9, 0, std::string(384, 'a')}, "found double");
  both("X of cells", {"X", {2, 2, 3, 4}, 1, 14, 0, ""}, "expected uint8");
  both("X complex", {"X", {2, 2, 3, 4}, 9, 2, 8}, "complex");
  both("X stored as shorts", {"X", {2, 2, 3, 4}, 9, 3, 0, std::string(96, 'a')}, "one byte");
  both("X stored as text", {"X", {2, 2, 3, 4}, 9, 16, 0}, "stored numbers");
  both("X of four channels", {"X", {2, 2, 4, 3}}, "expected uint8");
  both("X of two dimensions", {"X", {16, 3}}, "expected uint8");
  both("X of no images", {"X", {2, 2, 3, 0}, 9, 2, 0, ""}, "expected uint8");
  both("negative dimensions", {"X", {2, 0xffffffff, 3, 4}});
  both("dimensions of terabytes", {"X", {kHuge, kHuge, 3, kHuge}}, "at most");
  both("dimensions that overflow to 48", {"X", {0x10000, 0x10000, 0x10000, 0x10000, 0x30}}, "at most");
  both("more images than bytes", {"X", {2, 2, 3, 5}}, "as many as");
  both("fewer images than bytes", {"X", {2, 2, 3, 3}}, "as its dimensions say");
  both("a hundred dimensions", {"X", std::vector<uint64_t>(100, 1)}, "at most 32");
  both("content of gigabytes", {"X", {2, 2, 3, 4}, 9, 2, 0, std::string(48, 'a'), 0xfffffff0},
       "within its variable");
  both("a name of a megabyte", {std::string(1 << 20, 'X')}, "no 'X'");
  both("names that are no text", {"\x1b[2J\xff"}, "\\x1b");
  both("other counts", {}, "found 4 images in 'X' and 3 labels", labels("\1\2\3"));
  both("label 11", {}, "found 11", labels("\1\2\3\x0b"));
  both("label 200", {}, "found 200", labels("\1\2\3\xc8"));
  Array real = labels();
  real.kind = 6, real.storage = 9, real.data = std::string(32, '\0');
  const double values[] = {1, 2.5, 3, 4}, none = NAN;
  std::memcpy(real.data.data(), values, 32);
  both("label 2.5", {}, "found 2.5", real);
  std::memcpy(real.data.data(), &none, 8);
  both("label nan", {}, "found nan", real);
  real.data.resize(24);
  both("labels of fewer bytes", {}, "as its dimensions say", real);
  both("labels of a table", {}, "N × 1", {"y", {2, 2}, 9, 2, 0, "\1\2\3\4"});
}

void compression() {
  // No byte comes twice: what refers to another place is then another content.
  Array distinct;
  for (size_t i = 0; i < distinct.data.size(); ++i) distinct.data[i] = static_cast<char>(100 + i);
  const std::string right = compressed(matrix(distinct));
  const std::string tail = compressed(matrix(labels()));
  check(
      "a wrong checksum",
      [&] {
        std::string bad = right;
        bad.back() ^= 1;
        return header() + bad + tail;
      }(),
      "damaged");
  for (size_t at = 8; at < right.size(); ++at) {
    if (at + 5 == right.size()) continue;  // before the checksum: its last bits mean nothing
    std::string bad = right;
    bad[at] ^= 0x10;
    check("a changed byte " + std::to_string(at), header() + bad + tail);
  }
  check("no zlib stream", header() + little(15, 4) + little(100, 4) + std::string(100, 'a') + tail,
        "damaged");
  check("compressed nothing", header() + little(15, 4) + little(0, 4) + tail);
  check("compressed text", header() + compressed("some text that is no variable") + tail, "no 'X'");
  check("compressed in compressed", header() + compressed(right) + tail, "no 'X'");
  // A variable that says that it has 4 GB, of which there are some.
  std::string lies = matrix({"X", {32, 32, 3, 1'000'000}, 9, 2, 0, std::string(100'000, 'a'), 3'072'000'000});
  std::memcpy(lies.data() + 4, little(3'100'000'000, 4).data(), 4);
  check("images of three gigabytes", header() + compressed(lies), "as many as");
  // Zeros, a thousand to a byte: what is claimed is there, but for the end.
  Array zeros{"X", {32, 32, 3, 4'883}, 9, 2, 0, std::string(15'000'000, '\0'), 15'000'576};
  lies = matrix(zeros);
  std::memcpy(lies.data() + 4, little(15'000'640, 4).data(), 4);
  check("zeros that end too early", header() + compressed(lies) + tail, "found its end");
  check("a hundred empty variables",
        header() + repeat(compressed(matrix({"z", {0, 0}, 6, 9, 0, ""})), 100) + tail, "no 'X' but 'z'");
  check("ten thousand elements of nothing", header() + repeat(little(1, 4) + little(0, 4), 10'000), "no 'X'");
}

void random_bytes() {
  uint64_t state = 88172645463325252ull;
  const std::string right = file({});
  for (int i = 0; i < 1000; ++i) {
    std::string bad = right;
    for (int k = 0; k < 8; ++k) {
      state ^= state << 13, state ^= state >> 7, state ^= state << 17;
      // The tags of X: where its structure is.
      bad[128 + state % 56] = static_cast<char>(state >> 32);
    }
    check("random tags", bad);
  }
}

}  // namespace

int main() {
  cut_everywhere();
  headers();
  variables();
  compression();
  random_bytes();
  return finish();
}
