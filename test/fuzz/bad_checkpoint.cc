// Checkpoints that are wrong in a known way, made here. Each must end in Error(checkpoint) that names the
// file and a byte.
#include <cstring>
#include <string>
#include <vector>

#include "bad.h"
#include "build_zip.h"

namespace {

// Pickles: opcodes of protocol 2.
std::string text(const std::string& value) { return "X" + little(value.size(), 4) + value; }
std::string integer(int64_t value) {
  return std::string("\x8a\x08") + little(static_cast<uint64_t>(value), 8);
}
std::string integers(const std::vector<int64_t>& values) {
  std::string out = "(";
  for (const int64_t value : values) out += integer(value);
  return out + "t";
}
std::string storage(const std::string& key, int64_t elements,
                    const std::string& type = "ctorch\nFloatStorage\n") {
  return "(" + text("storage") + type + text(key) + text("cpu") + integer(elements) + "tQ";
}
std::string tensor(int64_t elements, int64_t offset, const std::vector<int64_t>& shape,
                   const std::vector<int64_t>& strides, const std::string& key = "0") {
  return "ctorch._utils\n_rebuild_tensor_v2\n(" + storage(key, elements) + integer(offset) + integers(shape) +
         integers(strides) + "\x89" + "ccollections\nOrderedDict\n)RtR";
}
std::string good_tensor() { return tensor(4, 0, {2, 2}, {2, 1}); }
std::string dictionary(const std::string& entries) { return "}(" + entries + "u"; }
std::string whole(const std::string& body) { return "\x80\x02" + body + "."; }
std::string weights(const std::string& one) { return whole(dictionary(text("w") + one)); }
std::string with(const std::string& value) {
  return whole(dictionary(text("w") + good_tensor() + text("x") + value));
}

std::vector<TestRecord> records(const std::string& pickle, size_t bytes = 16) {
  return {{"data.pkl", pickle},
          {"byteorder", "little"},
          {"data/0", std::string(bytes, '\0')},
          {"version", "3\n"}};
}
std::string zip(const std::string& pickle, size_t bytes = 16) { return build_zip(records(pickle, bytes)); }

const std::string kMagic = std::string("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);
std::string legacy(const std::string& pickle, uint64_t count = 4, size_t bytes = 16,
                   const std::string& key = "0") {
  return kMagic + std::string("\x80\x02M\xe9\x03.") + whole("}") + pickle + whole("](" + text(key) + "e") +
         little(count, 8) + std::string(bytes, '\0');
}
std::string safetensors(const std::string& header, size_t bytes) {
  return little(header.size(), 8) + header + std::string(bytes, '\0');
}

void cut_everywhere() {
  const std::string header = R"({"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}})";
  const std::pair<const char*, std::string> files[] = {{"zip", zip(weights(good_tensor()))},
                                                       {"legacy", legacy(weights(good_tensor()))},
                                                       {"safetensors", safetensors(header, 16)}};
  for (const auto& [kind, file] : files) {
    check(std::string("right ") + kind, file, "", false);
    for (size_t n = 0; n < file.size(); ++n) {
      // Shorter than its own length field: the safetensors reader's sentence has no byte to name but the
      // count.
      if (file.compare(0, 2, "PK") != 0 && file[0] != '\x80' && n < 9) continue;
      check(std::string("cut ") + kind + " at " + std::to_string(n), file.substr(0, n));
    }
  }
}

void calls() {
  const std::string system = "cos\nsystem\n";
  check("os.system called", zip(with(system + "(" + text("true") + "tR")), "os.system");
  check("os.system called, legacy", legacy(with(system + "(" + text("true") + "tR")), "os.system");
  check("os.system as a value", zip(with(system)), "os.system");
  check("os.system named and dropped", zip(whole(system + "0" + dictionary(text("w") + good_tensor()))),
        "os.system");
  check("os.system made", zip(with(system + ")\x81")), "os.system");
  check("os.system as the key", zip(whole(dictionary(system + good_tensor()))), "os.system");
  check("os.system in a tuple", zip(with(system + "\x85")), "os.system");
  check("posix.system", zip(with("cposix\nsystem\n(" + text("true") + "tR")), "posix.system");
  check("eval", zip(with("c__builtin__\neval\n(" + text("1") + "tR")), "__builtin__.eval");
  check("getattr", zip(with("cbuiltins\ngetattr\n(" + text("1") + text("a") + "tR")), "builtins.getattr");
  check("subprocess", zip(with("csubprocess\nPopen\n)\x81")), "subprocess.Popen");
  check("an unknown function called", zip(with("cmine\nrun\n)R")), "mine.run");
  check("an unknown name as a value", zip(with("cmine\nrun\n")), "mine.run");
  check("a class as a value",
        zip(with("cmine\nThing\nq\x07)\x81"
                 "0h\x07")),
        "mine.Thing");
  check("an object of an unknown class", zip(with("cmine\nThing\n)\x81}b")), "", false);
  check("a class in the state of an object", zip(with("cmine\nThing\n)\x81}" + text("f") + "cmine\nrun\nsb")),
        "mine.run");
  check("STACK_GLOBAL", zip(with(text("os") + text("system") + "\x93(" + text("true") + "tR")), "os.system");
  check("REDUCE of a dictionary", zip(with("})R")));
  check("REDUCE without a tuple", zip(with("ccollections\nOrderedDict\nNR")));
  check("a storage's type called", zip(with("ctorch\nFloatStorage\n)R")), "torch.FloatStorage");
  check("INST", zip(with("(ios\nsystem\n")));
  check("OBJ", zip(with("(cmine\nThing\no")));
  check("EXT1", zip(with("\x82\x01")));
}

void shapes() {
  constexpr int64_t kTera = int64_t{1} << 40, kMost = INT64_MAX;
  const auto both = [](const std::string& what, const std::string& value) {
    check(what, zip(weights(value)));
    check(what + ", legacy", legacy(weights(value)));
  };
  both("a shape of terabytes", tensor(4, 0, {kTera, kTera}, {kTera, 1}));
  both("a shape that overflows", tensor(4, 0, {kMost, kMost, kMost}, {1, 1, 1}));
  both("a shape that is repeated to terabytes", tensor(4, 0, {kTera}, {0}));
  both("a shape whose product overflows, repeated", tensor(4, 0, {kMost, kMost}, {0, 0}));
  both("strides that overflow", tensor(4, 0, {2, 2}, {kMost, kMost}));
  both("an offset beyond the storage", tensor(4, 3, {2, 2}, {2, 1}));
  both("an offset that overflows", tensor(4, kMost, {2}, {1}));
  both("a negative size", tensor(4, 0, {-2}, {1}));
  both("a negative stride", tensor(4, 3, {2}, {-1}));
  both("a negative offset", tensor(4, -1, {2}, {1}));
  both("fewer strides than sizes", tensor(4, 0, {2, 2}, {1}));
  both("too many dimensions", tensor(4, 0, std::vector<int64_t>(100, 1), std::vector<int64_t>(100, 1)));
  both("a storage of terabytes", tensor(kTera, 0, {2}, {1}));
  both("a storage that overflows", tensor(kMost, 0, {2}, {1}));
  both("a negative storage", tensor(-4, 0, {2}, {1}));
  both("a storage of another size than before", tensor(4, 0, {2}, {1}) + text("v") + tensor(3, 0, {2}, {1}));
  both("a storage that is not there", tensor(4, 0, {2}, {1}, "nowhere"));
  both("a storage's key that climbs", tensor(4, 0, {2}, {1}, "../../data.pkl"));
  both("a tensor without a storage", "ctorch._utils\n_rebuild_tensor_v2\n(NK\x01))\x89NtR");
  both("a tensor with too few arguments", "ctorch._utils\n_rebuild_tensor_v2\n(" + storage("0", 4) + "tR");
  check("a count of terabytes", legacy(weights(good_tensor()), uint64_t{1} << 50));
  check("a count of another size", legacy(weights(good_tensor()), 3));
  check("a storage listed under another name", legacy(weights(good_tensor()), 4, 16, "other"));
  check("a record of another size", zip(weights(good_tensor()), 12));
}

void pickles() {
  const auto both = [](const std::string& what, const std::string& pickle) {
    check(what, zip(pickle));
    check(what + ", legacy", legacy(pickle));
  };
  for (const char* open : {"]", "}", "("}) {
    const std::string name = open;
    const std::string close = name == "]" ? "a" : name == "}" ? "s" : "t";
    const std::string down = name == "}" ? "}K\x01" : name;
    both("nested 100,000 deep: " + name,
         with(repeat(down, 100'000) + (name == "}" ? "N" : "") +
              repeat(close, name == "}" ? 100'000 : 99'999) + (name == "(" ? "t" : "")));
  }
  both("nested 300,000 deep by tuples of one", with("N" + repeat("\x85", 300'000)));
  both("only a list that holds itself", whole("]q\x01h\x01"
                                              "a"));
  both("only a dictionary that holds itself", whole("}q\x01" + text("x") + "h\x01s"));
  both("memo number 2^31", with("]r" + little(uint64_t{1} << 31, 4)));
  both("memo number 2^32 - 1", with("]r" + little(0xffffffff, 4)));
  both("memo number in text", with("]p99999999999999999999\n"));
  both("a memo entry that was never made", with("h\x63"));
  both("LONG4 of 2 GB", with("\x8b" + little(0x7fffffff, 4)));
  both("LONG4 of minus one", with("\x8b" + little(0xffffffff, 4)));
  both("LONG4 of 5,000 bytes", with("\x8b" + little(5000, 4) + std::string(5000, '\1')));
  both("a text of 4 GB", with("X" + little(0xffffffff, 4)));
  both("a text of 2^63 bytes", with("\x8d" + little(uint64_t{1} << 63, 8)));
  both("bytes of 2^64 - 1", with("\x8e" + little(UINT64_MAX, 8)));
  both("a byte array of 2^62", with("\x96" + little(uint64_t{1} << 62, 8)));
  both("a frame of 2^60", whole("\x95" + little(uint64_t{1} << 60, 8)));
  both("protocol 200", "\x80\xc8}.");
  both("an unknown opcode", with("\xff"));
  both("an empty stack", whole(""));
  both("a tuple without a mark", whole("Nt"));
  both("SETITEMS into a list", with("](K\x01K\x02u"));
  both("SETITEMS with a key alone", with("}(K\x01u"));
  both("APPEND to a number", with("K\x01K\x02"
                                  "a"));
  both("BUILD of a number", with("K\x01}b"));
  both("a name with no end",
       "\x80\x02"
       "c" +
           std::string(5000, 'a'));
  both("a name of a kilobyte", with("c" + std::string(1000, 'a') + "\nb\n)\x81"));
  both("two million values",
       with("(" + repeat("J\x00\x00\x00\x7f", 0) + repeat(std::string("J\0\0\0\x7f", 5), 2'000'000) + "l"));
  both("three million marks", "\x80\x02" + repeat("(", 3'000'000));
  both("three million nones", "\x80\x02" + repeat("N", 3'000'000));
  // Each level holds the one before ten times: 10^12 paths in 400 bytes.
  std::string laughs = "]q\x01";
  laughs[0] = ']';
  std::string last = "N";
  std::string body;
  for (int level = 0; level < 12; ++level) {
    const char number = static_cast<char>(10 + level);
    body += "](" +
            (level == 0 ? repeat("]", 10) : repeat(std::string("h") + static_cast<char>(number - 1), 10)) +
            "eq" + number + "0";
  }
  both("a billion laughs",
       whole(body + dictionary(text("w") + good_tensor() + text("x") + "h" + static_cast<char>(21))));
  // A list of pairs that is copied again and again.
  both("copies of copies",
       whole(dictionary(text("x") + "](" + repeat("]", 100'000) + "eq\x01" + "0N" + text("y") + "(" +
                        repeat("c__builtin__\nset\nh\x01\x85R", 1'000) + "l")));
  const std::string names = with("(" + repeat(text(std::string(60'000, 'k')), 1'000) + "l");
  check("sixty MiB of long text, which is cut", zip(names), "", false);
  both("thirty MiB of short text", with("(" + repeat(text(std::string(200, 'k')), 150'000) + "l"));
  const std::string path = std::string(3'000, 'k');
  both("names of tensors that add up to gigabytes",
       whole("}(" + text(path) + good_tensor() + "q\x01" + repeat(text(path) + "h\x01", 10'000) + "u"));
  both("a hundred thousand names of classes", [] {
    std::string out = "(";
    for (int i = 0; i < 100'000; ++i) out += "ca\nb" + std::to_string(i) + "\n)\x81";
    return with(out + "l");
  }());
}

void zips() {
  const std::string pickle = weights(good_tensor());
  check(
      "wrong checksum of data.pkl",
      [&] {
        auto list = records(pickle);
        list[0].crc_xor = 1;
        return build_zip(list);
      }(),
      "checksum");
  check(
      "wrong checksum of a storage",
      [&] {
        auto list = records(pickle);
        list[2].crc_xor = 1;
        return build_zip(list);
      }(),
      "checksum");
  const auto change = [&](const std::string& what, auto&& how, const std::string& words = "") {
    auto list = records(pickle);
    how(list);
    check(what, build_zip(list), words);
  };
  change("two entries of one name", [](auto& list) { list.push_back(list[2]); }, "twice");
  change("two data.pkl", [](auto& list) { list.push_back(list[0]); }, "twice");
  change("a path that climbs out", [](auto& list) { list.push_back({"../../etc/passwd", "x"}); }, "climbs");
  change("a backslash", [](auto& list) { list.push_back({"..\\x", "x"}); }, "backslash");
  change("a control character", [](auto& list) { list.push_back({"x\x1b[2J", "x"}); }, "control");
  change(
      "another name in the local header", [](auto& list) { list[2].local_name = "archive/data/1"; },
      "another name");
  change("encrypted", [](auto& list) { list[2].flags = 1; }, "encrypted");
  change("compressed", [](auto& list) { list[2].method = 8; }, "method 8");
  change("an unknown method", [](auto& list) { list[2].method = 99; }, "method 99");
  change("zip64: a size of terabytes", [](auto& list) { list[2].claimed_size = uint64_t{1} << 43; });
  change("zip64: a size of 2^64 - 1", [](auto& list) { list[2].claimed_size = UINT64_MAX - 1; });
  change("zip64: an offset of terabytes", [](auto& list) { list[2].claimed_offset = uint64_t{1} << 43; });
  change("zip64: an offset of 2^64 - 1", [](auto& list) { list[2].claimed_offset = UINT64_MAX - 1; });
  change("zip64: one byte too many", [](auto& list) { list[2].claimed_size = 17; });
  change("entries that overlap", [](auto& list) { list[2].claimed_offset = 0; });
  change("no data.pkl", [](auto& list) { list.erase(list.begin()); }, "data.pkl");
  change("another byte order", [](auto& list) { list[1].data = "middle"; }, "byteorder");
  change(
      "a byte order of a megabyte", [](auto& list) { list[1].data = std::string(1 << 20, 'b'); },
      "byteorder");
  change("TorchScript", [](auto& list) { list.push_back({"constants.pkl", "x"}); }, "TorchScript");
  check("absolute names", build_zip(records(pickle), "/archive/"), "absolute");
  check("no folder", build_zip(records(pickle), ""), "folder");
  check("two folders", build_zip({{"a/data.pkl", pickle}, {"b/data/0", "x"}}, ""), "folder");
  check("an empty archive", build_zip({}));
  check("a hundred thousand empty entries", [&] {
    // The end record counts to 65,535; the directory is what is long.
    std::vector<TestRecord> list;
    for (int i = 0; i < 60'000; ++i) list.push_back({"data/" + std::to_string(i), ""});
    return build_zip(list);
  }());
  const std::string good = zip(pickle);
  for (size_t field = 4; field < 22; ++field) {
    for (const char value : {'\xff', '\x01', '\x7f'}) {
      std::string bad = good;
      bad[bad.size() - 22 + field] = value;
      if (bad != good) check("end record, byte " + std::to_string(field), bad);
    }
  }
  std::string end64 = good.substr(0, good.size() - 22);
  const uint64_t at = end64.size();
  for (const uint64_t lie : {uint64_t{1} << 62, UINT64_MAX, at}) {
    const std::string record = little(0x06064b50, 4) + little(44, 8) + little(45, 2) + little(45, 2) +
                               little(0, 8) + little(lie, 8) + little(lie, 8) + little(lie, 8) +
                               little(lie, 8);
    for (const uint64_t where : {at, lie}) {
      const std::string locator = little(0x07064b50, 4) + little(0, 4) + little(where, 8) + little(1, 4);
      const std::string end = little(0x06054b50, 4) + little(0, 4) + little(0xffff, 2) + little(0xffff, 2) +
                              little(0xffffffff, 4) + little(0xffffffff, 4) + little(0, 2);
      check("zip64 end record that lies", end64 + record + locator + end);
    }
  }
}

void safetensors_headers() {
  const auto entry = [](const std::string& shape, const std::string& offsets,
                        const std::string& type = "F32") {
    return safetensors(
        R"({"w":{"dtype":")" + type + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}", 16);
  };
  check("a shape of terabytes", entry("[1099511627776,1099511627776]", "[0,16]"));
  check("a shape that disagrees", entry("[5]", "[0,16]"));
  check("offsets that go back", entry("[4]", "[16,0]"));
  check("offsets beyond the file", entry("[8]", "[0,32]"));
  check("an unknown type", entry("[4]", "[0,16]", "F99"));
  check("a header that is too long", little(uint64_t{1} << 60, 8) + "{}");
  check("a header of 100 MB", little(100'000'000, 8) + "{" + std::string(1000, ' '));
  check("nested arrays", safetensors("{\"w\":" + repeat("[", 100'000), 0));
  check("two hundred thousand tensors", [] {
    std::string header = "{";
    for (int i = 0; i < 200'000; ++i)
      header += "\"" + std::to_string(i) + R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)";
    header.back() = '}';
    return safetensors(header, 0);
  }());
  check("a million entries of metadata", [] {
    std::string header = R"({"__metadata__":{)";
    for (int i = 0; i < 1'000'000; ++i) header += "\"" + std::to_string(i) + "\":\"\",";
    header.back() = '}';
    return safetensors(header + "}", 0);
  }());
}

void random_bytes() {
  uint64_t state = 88172645463325252ull;
  for (int i = 0; i < 300; ++i) {
    std::string bytes;
    for (int k = 0; k < 16 + i; ++k) {
      state ^= state << 13, state ^= state >> 7, state ^= state << 17;
      bytes += static_cast<char>(state);
    }
    check("random bytes", bytes);
    check("random pickle", zip("\x80\x02" + bytes));
    check("random legacy", kMagic + std::string("\x80\x02M\xe9\x03.") + whole("}") + "\x80\x02" + bytes);
    check("random zip", "PK\x03\x04" + bytes);
  }
  check("tar", std::string(257, 'a') + "ustar" + std::string(300, 'b'), "tar archive");
  check("a page", "<!DOCTYPE html><html></html>", "web page");
}

}  // namespace

int main() {
  every_error_names_a_byte = true;
  cut_everywhere();
  calls();
  shapes();
  pickles();
  zips();
  safetensors_headers();
  random_bytes();
  return finish();
}
