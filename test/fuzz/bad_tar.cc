// Tar archives that are wrong in a known way. Each must end in Error(data) that
// names the file.
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "bad.h"

namespace {

constexpr size_t kBlock = 512;

struct Member {
  std::string name, content;
  char type = '0';
  std::string size;  // the field as it stands; empty for the truth
  std::string prefix;
  int sum_off = 0;
  std::string sum;  // the field as it stands; empty for the truth
};

std::string octal(uint64_t value, int digits) {
  std::string out(static_cast<size_t>(digits), '0');
  for (auto at = out.rbegin(); at != out.rend(); ++at, value >>= 3)
    *at = static_cast<char>('0' + (value & 7));
  return out;
}
// Twelve bytes whose first says that a binary number follows.
std::string binary(uint64_t value, char first = '\x80') {
  std::string out(12, '\0');
  for (size_t at = 11; at >= 4; --at, value >>= 8) out[at] = static_cast<char>(value & 255);
  out[0] = first;
  return out;
}

std::string header(const Member& member) {
  std::string block(kBlock, '\0');
  const auto put = [&](size_t at, const std::string& text, size_t most) {
    block.replace(at, std::min(text.size(), most), text.substr(0, most));
  };
  put(0, member.name, 100);
  put(100, octal(0644, 7), 8), put(108, octal(0, 7), 8), put(116, octal(0, 7), 8);
  put(124, member.size.empty() ? octal(member.content.size(), 11) : member.size, 12);
  put(136, octal(0, 11), 12);
  put(148, std::string(8, ' '), 8);
  block[156] = member.type;
  put(257,
      std::string("ustar\0"
                  "00",
                  8),
      8);
  put(345, member.prefix, 155);
  int sum = member.sum_off;
  for (const char c : block) sum += static_cast<uint8_t>(c);
  put(148, member.sum.empty() ? octal(static_cast<uint64_t>(sum), 6) + std::string("\0 ", 2) : member.sum, 8);
  return block;
}
std::string padded(const std::string& content) {
  return content + std::string((kBlock - content.size() % kBlock) % kBlock, '\0');
}
std::string member(const Member& one) { return header(one) + padded(one.content); }
const std::string kEnd(2 * kBlock, '\0');
std::string tar(const std::vector<Member>& members) {
  std::string out;
  for (const Member& one : members) out += member(one);
  return out + kEnd;
}

const Member kImage{"a/1.png", "one"};
Member extended(const std::string& records) { return {"PaxHeaders/x", records, 'x'}; }
Member record(const std::string& text) {
  size_t length = text.size() + 2;  // blank and line feed
  while (length != text.size() + 2 + std::to_string(length).size())
    length = text.size() + 2 + std::to_string(length).size();
  return extended(std::to_string(length) + " " + text + "\n");
}
Member long_name(const std::string& name) { return {"././@LongLink", name + '\0', 'L'}; }
Member sized(const std::string& field) {
  Member out = kImage;
  out.size = field;
  return out;
}
Member named(const std::string& name) { return {name, "one"}; }
Member typed(char type) { return {"a/1.png", "", type}; }

void right_ones() {
  const auto right = [](const std::string& what, const std::vector<Member>& members) {
    check("right, " + what, tar(members), "", false);
  };
  right("plain", {kImage, {"b/2.png", std::string(600, 'b')}});
  right("pax", {record("path=" + std::string(300, 'p') + "/1.png"), kImage});
  right("a pax size", {record("size=3"), {"a/1.png", "one", '0', octal(0, 11)}});
  right("a long name", {long_name(std::string(300, 'l')), kImage});
  right("a binary size", {sized(binary(3))});
  right("a size between blanks", {sized("         3 \0")});
  right("signed sums", {{"\xe9", "one", '0', "", "", -256}});
  right("archives inside", {{"n01.tar", tar({kImage})}, {"n02.tar", tar({named("1"), named("2")})}});
  right("an archive inside an archive inside", {{"n01.tar", tar({{"n.tar", "no archive is looked for"}})}});
  right("names that are absolute", {named("/etc/passwd"), named("///b")});
  right("a name that ends at a zero", {named(std::string("a/1\0/../../b", 12))});
  right("a pax name that ends at a zero", {record(std::string("path=a/1\0/../b", 14)), kImage});
  right("a global size", {{"g", "8 size=9\n", 'g'}, kImage});
  right("devices, pipes and a volume's name", {typed('3'), typed('4'), typed('6'), typed('V'), kImage});
  check("right, bytes behind the end", tar({kImage}) + "more", "", false);
  check("right, one block of zeros", tar({kImage}).substr(0, 3 * kBlock), "", false);
}

void cut_everywhere() {
  const std::string whole = tar({kImage,
                                 {"b/2.png", std::string(600, 'b')},
                                 record("path=c/3.png"),
                                 kImage,
                                 long_name(std::string(200, 'l')),
                                 kImage,
                                 {"n01.tar", tar({kImage})}});
  // A single block of zeros is enough of an end.
  for (size_t n = 0; n + kBlock < whole.size(); ++n)
    check("cut at " + std::to_string(n), whole.substr(0, n), n == 0 ? "found nothing" : "");
}

void sizes() {
  const auto lies = [](const std::string& what, const std::string& field,
                       const std::string& words = "cut short") {
    check("size " + what, tar({sized(field), kImage}), words);
    check("size " + what + ", of a name", tar({{"././@LongLink", "name", 'L', field}, kImage}), "");
    check("size " + what + ", of pax", tar({{"x", "9 path=a\n", 'x', field}, kImage}), "");
    check("size " + what + ", of a global header", tar({{"g", "9 path=a\n", 'g', field}, kImage}), words);
    check("size " + what + ", inside", tar({{"n01.tar", tar({sized(field)})}, {"b", std::string(5000, 'b')}}),
          words.empty() ? words : "in 'n01.tar': ");
  };
  lies("of 8 GiB", "77777777777");
  lies("of 8 GiB without a zero", "777777777777");
  lies("of 4 GiB", octal(uint64_t{1} << 32, 11));
  lies("2^62", binary(uint64_t{1} << 62), "");
  lies("2^63", binary(uint64_t{1} << 63), "");
  lies("2^64 - 1", binary(UINT64_MAX), "");
  lies("2^64 - 512", binary(UINT64_MAX - 511), "");
  lies("2^55", binary(uint64_t{1} << 55), "");
  lies("beyond 64 bits", "\x80" + std::string(11, '\xff'), "no number");
  lies("negative", std::string(12, '\xff'), "no number");
  lies("negative and small", "\xc0" + std::string(11, '\1'), "no number");
  lies("signed", "-0000000001", "no number");
  lies("decimal", "00000000009", "no number");
  lies("hexadecimal", "0x000000003", "no number");
  lies("of text", "many bytes!", "no number");
  lies("with a gap", "0000 000003", "no number");
  check("size one too many", tar({sized(octal(2049, 11))}).substr(0, 2048), "cut short");
  check("size a block too small", tar({{"a", std::string(600, 'a'), '0', octal(5, 11)}, kImage}), "checksum");
  check("size a block too large", tar({{"a", "a", '0', octal(513, 11)}, {"b", std::string(600, 'b')}}),
        "checksum");
  check("a size inside beyond its archive",
        tar({{"n01.tar", tar({sized(octal(1600, 11))})}, {"b", std::string(9000, 'b')}}), "in 'n01.tar': ");
}

void checksums() {
  const std::string whole = tar({kImage, {"b/2.png", "two"}});
  for (const size_t start : {size_t{0}, 2 * kBlock}) {
    for (size_t at = 0; at < kBlock; ++at) {
      std::string bad = whole;
      bad[start + at] ^= 1;
      check("a changed byte " + std::to_string(start + at), bad,
            start ? "checksum is wrong" : "something else");
    }
  }
  for (const char* sum : {"00000000", "        ", "77777777", "no sum!!", "-0010000", "\x80\0\0\0\0\0\0\0"})
    check("a checksum of " + std::string(sum), tar({{"a", "", '0', "", "", 0, std::string(sum, 8)}}),
          "something else");
  check("zeros, then another file", std::string(kBlock, '\0') + std::string(kBlock, 'a'), "no images");
  check("another file", std::string(5000, 'a'), "something else");
  check("a short text", "hello", "a file of 5 bytes");
}

void pax() {
  const auto bad = [](const std::string& what, const Member& head, const std::string& words) {
    check("pax: " + what, tar({head, kImage}), words);
    check("pax: " + what + ", inside", tar({{"n01.tar", tar({head, kImage})}}), "in 'n01.tar': ");
  };
  for (const char* size :
       {"-1", "+1", "", "1e3", "0x3", "3.0", " 3", "3 ", "9999999999999999999", "18446744073709551619"})
    bad(std::string("size ") + size, record(std::string("size=") + size), "a size in a pax header");
  for (const char* size : {"999999999999999999", "4294967299", "1537"})
    bad(std::string("size ") + size, record(std::string("size=") + size), "cut short");
  bad("a size that is too small", record("size=0"), "checksum");
  for (const char* text :
       {"0 path=a\n", "1 path=a\n", "2 path=a\n", "8 path=a\n", "11 path=a\n", "99 path=a\n",
        "99999999 path=a\n", "999999999 path=a\n", "18446744073709551625 path=a\n", "-9 path=a\n", "path=a\n",
        "9path=a\n", " 9 path=a\n", "9 path=a", "9 path=a\nmore", "9", "9 ", "\n", "9 path=a\n9 path=b"})
    bad(std::string("records ") + text, extended(text), "records of a pax header");
  bad("no key", extended("7 path\n"), "no '='");
  bad("records of zeros", extended(std::string(100, '\0')), "records of a pax header");
  bad("names that lead out", record("path=../../b"), "'..'");
  bad("a name of 5,000", record("path=" + std::string(5000, 'p')), "at most 4,096");
  bad("a sparse file", record("GNU.sparse.major=1"), "sparse");
  bad("an old sparse file", record("GNU.sparse.size=1000000000000"), "sparse");
  bad("a header of two megabytes", record("comment=" + std::string(2 << 20, 'c')), "at most 1,048,576");
  check("pax: no member", tar({record("path=a")}), "no images");
  check("pax: a name of nothing", tar({record("path="), kImage}), "no images");
  // Fifteen megabytes of short records.
  std::string many;
  for (int i = 0; i < 100'000; ++i) many += "9 path=a\n";
  check("pax: a hundred thousand records", tar(std::vector<Member>(15, extended(many))), "no images");
}

void long_names() {
  check("names of names", tar(std::vector<Member>(10'000, long_name("a"))), "no images");
  check("headers of headers", tar(std::vector<Member>(10'000, record("path=a"))), "no images");
  check("global headers", tar(std::vector<Member>(10'000, {"g", "9 path=a\n", 'g'})), "no images");
  check("empty names", tar(std::vector<Member>(10'000, {"././@LongLink", "", 'L'})), "no images");
  check("a name of a megabyte", tar({long_name(std::string((1 << 20) - 1, 'l')), kImage}), "at most 4,096");
  check("a name of more", tar({long_name(std::string(1 << 20, 'l')), kImage}), "at most 1,048,576");
  check("thirty names of a megabyte", tar(std::vector<Member>(30, long_name(std::string(1'000'000, 'l')))),
        "no images");
  check("a long name that leads out", tar({long_name("a/../../b"), kImage}), "'..'");
  check("a name without its member, cut", member(long_name("a")), "cut short");
}

void names() {
  check("a link with control characters", tar({{"\x1b[2J", "", '2'}}), "'\\x1b[2J'");
  check("an archive with control characters", tar({{"\x1b[2J.tar", ""}}), "in '\\x1b[2J.tar'");
  for (const char* name :
       {"..", "../a", "a/..", "a/../b", "/..", "./../a", "a//../b", "../../../../etc/passwd"})
    check(std::string("name ") + name, tar({kImage, named(name)}), "'..'");
  check("a prefix that leads out", tar({{"1.png", "one", '0', "", "../.."}}), "'..'");
  check("a folder that leads out", tar({{"../a", "", '5'}, kImage}), "'..'");
  for (const char* name : {"", ".", "./", "/", "///", "./."})
    check(std::string("only the name '") + name + "'", tar({{name, ""}}), "no images");
  check("a folder, by its name, of three bytes", tar({named("a/"), kImage}), "checksum");
  check("hidden ones", tar({named(".a"), named("a/.b"), named("a/._1.png")}), "no images");
  check("folders", tar({typed('5'), {"b/", "", '0'}}), "no images");
}

void kinds() {
  for (const char type : {'S', 'M', '1', '2', 'D', 'N', 'A', '8', '\xff', '\1', ' '})
    check(std::string("type ") + type, tar({typed(type), kImage}),
          type == 'S'                  ? "sparse"
          : type == 'M'                ? "several volumes"
          : type == '1' || type == '2' ? "the link"
                                       : "unknown type");
  const std::pair<const char*, std::string> packed[] = {{"gzip", "\x1f\x8b"},
                                                        {"xz", std::string("\xfd"
                                                                           "7zXZ\0",
                                                                           6)},
                                                        {"Zstandard", "\x28\xb5\x2f\xfd"},
                                                        {"bzip2", "BZh"},
                                                        {"LZ4", "\x04\x22\x4d\x18"},
                                                        {"zip", "PK\3\4"}};
  for (const auto& [name, start] : packed) {
    for (const size_t size : {size_t{0}, size_t{100}, size_t{5000}}) {
      const std::string bytes = start + std::string(size, 'a');
      check(std::string(name), bytes, std::string("found ") + name);
      check(std::string(name) + " inside", tar({{"n01.tar", bytes}}),
            "in 'n01.tar': expected an uncompressed");
    }
  }
  check("nothing inside", tar({{"n01.tar", ""}}), "found nothing");
  check("an image inside that is called an archive", tar({{"n01.tar", std::string(3000, 'p')}}),
        "something else");
  check("an archive inside without an end", tar({{"n01.tar", member(kImage)}}), "in 'n01.tar': ");
  check("only empty archives inside", tar(std::vector<Member>(3000, {"n01.tar", kEnd})), "no images");
}

void many() {
  std::string all;
  for (int i = 0; i < 60'000; ++i) all += member({std::to_string(i) + "/1", ""});
  check("sixty thousand folders, cut", all, "cut short");
  check("right, sixty thousand folders", all + kEnd, "", false);
  // The name of the archive inside stands before each of its members' names.
  std::string inner;
  for (int i = 0; i < 3000; ++i) inner += member({std::to_string(i) + "/1", ""});
  check("right, long names before names",
        tar({long_name(std::string(4000, 'n') + ".tar"), {"n", inner + kEnd}}), "", false);
}

}  // namespace

int main() {
  right_ones();
  cut_everywhere();
  sizes();
  checksums();
  pax();
  long_names();
  names();
  kinds();
  many();
  return finish();
}
