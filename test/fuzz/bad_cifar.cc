// Pickles that are no batch of CIFAR. Each must end in Error(data) that names the file.
#include <string>

#include "bad.h"
#include "little.h"

namespace {

constexpr size_t kImage = 3072;

// Opcodes of protocol 2 to 5.
std::string text(const std::string& value) { return "X" + little(value.size(), 4) + value; }
std::string bytes(const std::string& value) { return "B" + little(value.size(), 4) + value; }
std::string whole(const std::string& body) { return "\x80\x02" + body + "."; }
std::string labels(size_t n, int label = 1) {
  return "](" + repeat(std::string("K") + static_cast<char>(label), n) + "e";
}
std::string shape(uint64_t rows, uint64_t columns) {
  return std::string("\x8a\x08") + little(rows, 8) + "\x8a\x08" + little(columns, 8) + "\x86";
}
const std::string kType = "cnumpy\ndtype\n" + text("u1") + "\x89\x88\x87R(K\x03" + text("|") +
                          "NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK" + std::string(1, '\0') + "tb";
std::string array(const std::string& sides, const std::string& data, const std::string& type = kType,
                  const std::string& order = "\x89") {
  return "cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK" + std::string(1, '\0') + "\x85" +
         bytes("b") + "\x87R(K\x01" + sides + type + order + data + "tb";
}
std::string buffer(const std::string& sides, const std::string& data) {
  return "cnumpy._core.numeric\n_frombuffer\n(" + data + kType + sides + text("C") + "tR";
}
std::string batch(const std::string& data, const std::string& list) {
  return whole("}(" + text("data") + data + text("labels") + list + "u");
}
std::string images(size_t n) { return bytes(std::string(n * kImage, 'a')); }
// Latin-1 in UTF-8, as Python 3 writes bytes in protocol 2.
std::string encoded(const std::string& value) {
  return "c_codecs\nencode\n" + text(value) + text("latin1") + "\x86R";
}

}  // namespace

int main() {
  check("right", batch(array(shape(2, kImage), images(2)), labels(2)), "", false);
  check("right, many", batch(array(shape(30, kImage), images(30)), labels(30)), "", false);
  check("right, many, by columns", batch(array(shape(30, kImage), images(30), kType, "\x88"), labels(30)), "",
        false);
  check("right, a buffer", batch(buffer(shape(30, kImage), images(30)), labels(30)), "", false);
  check("right, encoded",
        batch(array(shape(30, kImage), encoded(repeat("\xc2\xa0", 30 * kImage))), labels(30)), "", false);

  const std::string right = batch(array(shape(1, kImage), images(1)), labels(1));
  for (size_t n = 0; n < right.size(); n += n < 300 || n + 100 > right.size() ? 1 : 50)
    check("cut at " + std::to_string(n), right.substr(0, n));

  const std::string good = array(shape(2, kImage), images(2));
  check("os.system called", batch("cos\nsystem\n" + text("true") + "\x85R", labels(2)), "os.system");
  check("os.system named and dropped",
        whole("cos\nsystem\n0}(" + text("data") + good + text("labels") + labels(2) + "u"), "os.system");
  check("eval", batch("c__builtin__\neval\n" + text("1") + "\x85R", labels(2)), "__builtin__.eval");
  check("an object of a class of its own", batch("cmine\nThing\n)\x81", labels(2)), "mine.Thing");
  check("a tensor of PyTorch", batch("ctorch._utils\n_rebuild_tensor_v2\n", labels(2)), "torch._utils");
  check("a dictionary of PyTorch", batch("ccollections\nOrderedDict\n)R", labels(2)), "OrderedDict");
  check("a reference outside", batch(text("a") + "Q", labels(2)), "storage");
  check("numpy's loader", batch("cnumpy\nload\n" + text("x") + "\x85R", labels(2)), "numpy.load");
  check("a name by two texts", batch(text("os") + text("system") + "\x93", labels(2)), "os.system");

  check("a list", whole(labels(3)), "a pickled dictionary");
  check("the number of a checkpoint",
        std::string("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15), "a pickled dictionary");
  check("no data", whole("}(" + text("labels") + labels(2) + "u"), "the entry 'data'");
  check("no labels", whole("}(" + text("data") + good + "u"), "the entry 'labels'");
  check("an empty dictionary", whole("}"), "found none");
  check("a zip archive", "PK\3\4" + std::string(100, 'a'), "another file");
  check("protocol 0", "(dp0\n.", "protocol 2 to 5");
  check("protocol 200", "\x80\xc8}.", "protocol 0 to 5");

  check("data that is a text", batch(text("abc"), labels(2)), "a numpy array");
  check(
      "data of reals",
      batch(array(shape(2, kImage), images(2), "cnumpy\ndtype\n" + text("f4") + "\x89\x88\x87R"), labels(2)),
      "'f4'");
  check("data of a type without a name", batch(array(shape(2, kImage), images(2), "N"), labels(2)),
        "a numpy array");
  check("data of another width", batch(array(shape(2, 3000), images(2)), labels(2)), "[2, 3000]");
  check("data of one dimension", batch(array("K\x02\x85", images(2)), labels(2)), "[N, 3072]");
  check("no images", batch(array(shape(0, kImage), images(0)), labels(0)), "[0, 3072]");
  check("fewer images than the shape says", batch(array(shape(3, kImage), images(2)), labels(3)), "6,144");
  check("fewer long images than the shape says", batch(array(shape(31, kImage), images(30)), labels(31)),
        "92,160");
  check("more images than the shape says", batch(array(shape(1, kImage), images(2)), labels(1)), "6,144");
  check("a shape of terabytes", batch(array(shape(uint64_t{1} << 40, kImage), images(2)), labels(2)));
  check("a shape that overflows", batch(array(shape(INT64_MAX, kImage), images(2)), labels(2)));
  check("a negative shape", batch(array(shape(UINT64_MAX, kImage), images(2)), labels(2)));
  check("encoded, too few",
        batch(array(shape(40, kImage), encoded(repeat("\xc2\xa0", 30 * kImage))), labels(40)));
  check("encoded, too many",
        batch(array(shape(29, kImage), encoded(std::string(30 * kImage, 'a'))), labels(29)), "more bytes");
  check("encoded, another character",
        batch(array(shape(30, kImage), encoded(std::string(30 * kImage - 1, 'a') + "\xe2\x82\xac")),
              labels(30)));
  check("encoded, half a character",
        batch(array(shape(30, kImage), encoded(std::string(30 * kImage - 1, 'a') + "\xc2")), labels(30)),
        "found their end");

  check("fewer labels", batch(good, labels(1)), "one an image, found 1");
  check("more labels", batch(good, labels(3)), "one an image, found 3");
  check("label 10", batch(good, labels(2, 10)), "labels 0 to 9, found 10");
  check("label -1",
        batch(good,
              "](J\xff\xff\xff\xffK\x01"
              "e"),
        "found -1");
  check("label 2^70",
        batch(good, "](\x8a\x09" + std::string(8, '\0') +
                        "@K\x01"
                        "e"),
        "integer of 9 bytes");
  check("label 1.0",
        batch(good, "](G\x3f\xf0" + std::string(6, '\0') +
                        "K\x01"
                        "e"),
        "found 1.0");
  check("labels as a text", batch(good, text("ab")), "list of whole numbers");
  check("labels as an array", batch(good, array("K\x02\x85", bytes("ab"))), "list of whole numbers");
  check("a name that is too long",
        whole("}(" + text("label_names") + "](" + repeat(text(std::string(100'000, 'a')), 10) + "eu"));
  check("two million values",
        whole("}(" + text("data") + "(" + repeat(std::string("J\0\0\0\x7f", 5), 2'000'000) + "lu"));
  check("nested 300,000 deep", whole("N" + repeat("\x85", 300'000)));
  check("a dictionary that holds itself", whole("}q\x01" + text("data") + "h\x01s"));
  return finish();
}
