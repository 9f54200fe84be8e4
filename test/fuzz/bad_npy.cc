// .npy files that are wrong in a known way. Each must end in Error(data) that names the file and a byte.
#include <string>

#include "bad.h"
#include "little.h"

namespace {

std::string npy(const std::string& header, const std::string& data,
                const std::string& version = std::string("\1\0", 2), uint64_t claimed = UINT64_MAX) {
  return "\x93NUMPY" + version +
         little(claimed == UINT64_MAX ? header.size() : claimed, version[0] == 1 ? 2 : 4) + header + data;
}
std::string header(const std::string& shape, const std::string& type = "|u1",
                   const std::string& order = "False") {
  return "{'descr': '" + type + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }\n";
}
std::string shaped(const std::string& shape, size_t bytes = 48) {
  return npy(header(shape), std::string(bytes, 'a'));
}

}  // namespace

int main() {
  every_error_names_a_byte = true;
  const std::string pixels(48, 'a'), right = shaped("(4, 2, 2, 3)");
  check("right", right, "", false);
  check("right, version 2", npy(header("(4, 2, 2, 3)"), pixels, std::string("\2\0", 2)), "", false);
  check("right, gray", shaped("(12, 2, 2)"), "", false);
  check("right, labels", shaped("(48,)"), "", false);
  check("trailing bytes", right + "more", "", false);
  check("other spaces and quotes",
        npy("{\"shape\":(4,2,2,3),\"fortran_order\":False,\"descr\":\"|u1\"}", pixels), "", false);
  check("long integers of Python 2", shaped("(4L, 2L, 2L, 3L)"), "", false);
  for (size_t n = 0; n < right.size(); ++n) check("cut at " + std::to_string(n), right.substr(0, n));

  check("Fortran's order", npy(header("(4, 2, 2, 3)", "|u1", "True"), pixels), "C order");
  check("an order of another kind", npy(header("(4, 2, 2, 3)", "|u1", "None"), pixels), "True or False");
  check("real numbers", npy(header("(4, 2, 2, 3)", "<f4"), std::string(192, 'a')), "uint8");
  check("objects", npy(header("(4, 2, 2, 3)", "|O"), pixels), "plain type");
  check("a structure",
        npy("{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (4, 2, 2, 3), }", pixels),
        "plain type");
  check("texts", npy(header("(4, 2, 2)", "<U1"), std::string(64, 'a')), "uint8");
  check("elements of no bytes", npy(header("(4, 2, 2, 3)", "|u0"), pixels), "plain type");
  check("elements of gigabytes", npy(header("(4, 2, 2, 3)", "|u99999999999999999999"), pixels), "plain type");
  check("a type without a size", npy(header("(4, 2, 2, 3)", "<u"), pixels), "plain type");
  check("a type of one character", npy(header("(4, 2, 2, 3)", "u"), pixels), "plain type");
  check("bytes of a sixteenth", npy(header("(1, 1, 3)", "|u16"), pixels), "uint8");
  for (const char* shape :
       {"(4, 2, 2, 4)", "(16, 3)", "()", "(2, 2, 2, 2, 3)", "(0, 2, 2, 3)", "(4, 0, 2, 3)"})
    check(std::string("shape ") + shape, npy(header(shape), pixels), shape[1] == '1' ? "uint8" : "");
  for (const char* shape : {"(-4, 2, 2, 3)", "(4 2 2 3)", "(4, 2, 2, 3", "4, 2, 2, 3)", "[4, 2, 2, 3]",
                            "(4, 2, 2, 3.0)", "(0x4, 2, 2, 3)", "(99999999999999999999, 2)", "(4,, 2, 2, 3)",
                            "(,)", "(4, 2, 2, 3) + (1,)", "__import__('os')", "None"})
    check(std::string("shape ") + shape, npy(header(shape), pixels));
  check("a shape of terabytes", shaped("(1099511627776, 1024, 1024, 3)"), "end of the file");
  check("a shape that overflows", shaped("(9223372036854775807, 9223372036854775807, 2, 3)"),
        "end of the file");
  check("a shape that overflows to 48", shaped("(4611686018427387908, 2, 2, 3)"), "end of the file");
  check("an overflow hidden by a zero", shaped("(9223372036854775807, 9223372036854775807, 0)"));
  check("fewer images than the shape says", shaped("(5, 2, 2, 3)"), "after 48");
  check("an image of a terapixel", shaped("(1, 4294967296, 4294967296, 0)"));
  check("thirty-three dimensions", shaped("(" + repeat("1, ", 33) + ")"), "32");

  const auto bad_header = [&](const std::string& what, const std::string& text) {
    check(what, npy(text, pixels));
  };
  bad_header("nothing", "");
  bad_header("an empty dictionary", "{}");
  bad_header("no shape", "{'descr': '|u1', 'fortran_order': False, }");
  bad_header("a key twice",
             "{'descr': '|u1', 'descr': '|u1', 'fortran_order': False, 'shape': (4, 2, 2, 3), }");
  bad_header("another key", "{'descr': '|u1', 'x': 1, 'fortran_order': False, 'shape': (4, 2, 2, 3), }");
  bad_header("text behind it", header("(4, 2, 2, 3)") + "x");
  bad_header("a call", "__import__('os').system('true')");
  bad_header("a string without an end", "{'descr': '|u1");
  bad_header("a long string", "{'descr': '" + std::string(1000, 'a') + "'");
  bad_header("control characters", "{'\x1b[2J': 1}");
  bad_header("a header of brackets", std::string(60'000, '{'));
  check("version 4", npy(header("(4, 2, 2, 3)"), pixels, std::string("\4\0", 2)), "4.0");
  check("version 1.1", npy(header("(4, 2, 2, 3)"), pixels, "\1\1"), "1.1");
  check("version 0", npy(header("(4, 2, 2, 3)"), pixels, std::string("\0\0", 2)), "0.0");
  check("a header of four gigabytes", npy(header("(4, 2, 2, 3)"), pixels, std::string("\2\0", 2), 0xffffffff),
        "at most");
  check("a header beyond the file", npy(header("(4, 2, 2, 3)"), pixels, std::string("\1\0", 2), 60'000),
        "end of the file");
  check("a zip archive", "PK\3\4" + std::string(100, 'a'), "another file");
  check("labels out of range", npy(header("(4,)", "<i2"), std::string("\1\0\2\0\x10\x27\0\0", 8)), "uint8");
  return finish();
}
