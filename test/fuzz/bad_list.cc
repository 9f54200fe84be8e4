// Lists of images and labels that are wrong in a known way. Each must end in Error(data) that names the file.
#include <string>

#include "bad.h"

namespace {

void bad(const std::string& what, const std::string& text, const std::string& words) {
  check(what, text, words);
  check(
      what + ", with CRLF",
      [&] {
        std::string out;
        for (const char c : text) out += c == '\n' ? "\r\n" : std::string(1, c);
        return out;
      }(),
      words);
}
void right(const std::string& what, const std::string& text) { check("right, " + what, text, "", false); }

void right_ones() {
  right("nothing", "");
  right("numbers", "a.png,1\nb.png,0");
  right("names", "a.png cat\nb.png dog\n");
  right("no labels", "a.png\nb.png\n");
  right("none by -1", "a.png -1\nb.png -1\n");
  right("a byte order mark and CRLF", "\xef\xbb\xbfpath,label\r\na.png,1\r\n");
  right("only a byte order mark", "\xef\xbb\xbf");
  right("quotes", "\"a,b\"\"c.png\",1\n");
  right("fractions are names", "a,1.5\nb,2.5\n");
  right("a number among names", "a,cat\nb,7\n");
  right("bytes that are no UTF-8", "\xff\xc0.png,1\n\x80,2\n");
  right("names that lead out", "../../a,1\n/b,2\n");
  right("control characters", "\x1b[2J,1\n");
  right("empty lines", repeat("\n", 100'000));
  right("comments", repeat("# no\n", 100'000));
  right("carriage returns", repeat("\r", 60'000) + ",1");
  right("a line of 65,536 bytes", std::string(65'534, 'a') + ",1\n");
  right("the largest label", "a,999999\n");
}

void lines() {
  bad("a line of 65,537 bytes", "a,1\n" + std::string(65'535, 'a') + ",1",
      "line 2: expected lines of at most 65,536");
  bad("a line of ten megabytes", std::string(10'000'000, 'a'), "line 1: expected lines of at most");
  bad("a comment of a megabyte", "#" + std::string(1 << 20, ' '), "line 1: expected lines of at most");
  bad("a line of quotes", std::string(65'535, '"'), "line 1: expected a closing quote");
  bad("a line of commas", std::string(65'535, ','), "65536 fields");
  bad("a line of quoted fields", repeat("\"\",", 21'000), "21001 fields");
  bad("an empty path", ",1", "expected a path, found none");
  bad("a path of blanks", "a,1\n   ,2", "expected a path, found none");
  bad("an empty path in quotes", "\"\",1", "expected a path, found none");
  bad("a field too many", "a,b,1", "found 3 fields");
  bad("another header", "a,1\npath,label", "line 2: expected a whole number");
  bad("zero bytes", std::string("a,1\nb\0,2", 8), "a zero byte");
  bad("nothing but zero bytes", std::string(60'000, '\0'), "a zero byte");
  check("UTF-16",
        std::string("\xff\xfe"
                    "a\0,\0001\0",
                    8),
        "UTF-16");
  check("UTF-16, big-endian", std::string("\xfe\xff\0a\0,\0001", 8), "UTF-16");
  bad("UTF-16 without a mark", std::string("a\0,\0001\0", 6), "a zero byte");
}

void quotes() {
  bad("no end", "\"a,1", "a closing quote");
  bad("no end in the second field", "a,\"1", "a closing quote");
  bad("an end on the next line", "\"a\nb\",1", "a closing quote");
  bad("an odd number", "\"a\"\",1", "a closing quote");
  bad("text behind", "\"a\"b,1", "a separator after a closing quote");
  bad("a single one", "\"", "a closing quote");
  bad("a single one before blanks", "\" 1", "a closing quote");
}

void labels() {
  bad("a label of control characters", "a,0\nb,\x1b[2J", "found '\\x1b[2J'");
  bad("-2", "a,1\nb,-2", "line 2: expected a label from 0, found '-2'");
  bad("-0", "a,-0", "expected a label from 0");
  bad("-99999999999999999999", "a,-99999999999999999999", "expected a label from 0");
  bad("1000000", "a,1000000", "from 0 to 999999");
  for (const char* huge : {"2147483648", "4294967296", "9223372036854775808", "18446744073709551616"})
    bad(huge, std::string("a,") + huge, "from 0 to 999999");
  bad("a thousand digits", "a," + std::string(1000, '9'), "from 0 to 999999");
  bad("a thousand zeros", "a," + std::string(1000, '0'), "from 0 to 999999");
  for (const char* other : {"1.5", "1e3", "0x1", "+1", "nan", "- 1", "1\x1b[2J"})
    bad(other, std::string("a,0\nb,") + other, "a whole number from 0 as label, as in line 1");
  bad("none after some", "a,0\nb", "found none");
  bad("-1 after some", "a,0\nb,-1", "found '-1'");
  bad("some after none", "a,\nb,0", "expected no label, as in line 1");
  bad("some after -1", "a,-1\nb,0", "expected no label, as in line 1");
  bad("none after names", "a,cat\nb,", "expected a label, as in line 1");
}

void many() {
  right("half a million lines", repeat("a\n", 500'000));
  right("300,000 lines with labels", repeat("a,1\n", 300'000));
  bad("300,000 lines, then a bad one", repeat("a,1\n", 300'000) + "b", "line 300001: ");
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += std::to_string(i) + "/a " + "n" + std::to_string(i) + "\n";
  right("folders and names of their own", text);
}

}  // namespace

int main() {
  right_ones();
  lines();
  quotes();
  labels();
  many();
  return finish();
}
