// Kept indices that are wrong in a known way: none may be taken for one.
#include <string>
#include <utility>
#include <vector>

#include "bad.h"
#include "little.h"

namespace {

std::string text(const std::string& value) { return little(value.size(), 8) + value; }
std::string texts(const std::vector<std::string>& values) {
  std::string out = little(values.size(), 8);
  for (const std::string& value : values) out += text(value);
  return out;
}
std::string column(const std::vector<uint64_t>& values, int bytes) {
  std::string out = little(values.size(), 8);
  for (const uint64_t value : values) out += little(value, bytes);
  return out;
}

// As native/data/index_cache.cc describes the file; exercise_index.cc puts the checksum behind it.
struct Index {
  std::string magic = std::string("MODEIDX\1", 8);
  std::vector<std::string> key = {"fuzz"}, classes = {"cat", "dog"}, folders = {"", "cat", "dog"};
  std::string names = "1.png2.pngx.png";
  std::vector<uint64_t> ends = {5, 10, 15}, folder_of = {0, 1, 2}, labels = {0, 0, 1};
  std::vector<std::pair<uint64_t, uint64_t>> places = {{512, 3}, {1536, 600}, {2560, 0}};
  uint64_t dependencies = 1;
  std::string behind;

  std::string bytes() const {
    std::string out = magic + texts(key) + text(std::string(64, 'f')) + texts(classes) +
                      little(dependencies, 8) + text("") + little(5, 8) + little(UINT64_MAX, 8) +
                      little(1'600'000'000, 8) + texts(folders) + text(names) + column(ends, 4) +
                      column(folder_of, 4) + column(labels, 4) + little(places.size(), 8);
    for (const auto& [offset, size] : places) out += little(offset, 8) + little(size, 8);
    return out + behind;
  }
};

void bad(const std::string& what, const std::string& bytes) { check(what, "sum:" + bytes, "no index"); }
void right(const std::string& what, const std::string& bytes) {
  check("right, " + what, "sum:" + bytes, "", false);
}

void changed(const std::string& whole) {
  for (size_t n = 0; n < whole.size(); ++n) {
    check("cut at " + std::to_string(n), whole.substr(0, n), "no index");
    bad("cut at " + std::to_string(n) + ", with a right checksum", whole.substr(0, n));
  }
  // A checksum that was never right.
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string other = whole + std::string(64, '0');
    other[at] ^= 1;
    check("a changed byte " + std::to_string(at), other, "no index");
  }
  bad("more behind it", whole + "x");
  bad("itself twice", whole + whole);
}

// Each number of 64 bits that leads a list or a text.
void lengths(const std::string& whole, const std::vector<size_t>& places) {
  for (const size_t at : places) {
    uint64_t truth = 0;
    for (size_t i = 8; i-- > 0;) truth = truth << 8 | static_cast<uint8_t>(whole[at + i]);
    for (const uint64_t lie :
         {uint64_t{0}, truth - 1, truth + 1, truth * 2 + 1, truth + (uint64_t{1} << 32),
          truth + (uint64_t{1} << 59), truth + (uint64_t{1} << 60), truth + (uint64_t{1} << 61),
          truth + (uint64_t{1} << 62), uint64_t{1} << 63, UINT64_MAX}) {
      if (lie == truth) continue;
      std::string other = whole;
      other.replace(at, 8, little(lie, 8));
      bad("a length at " + std::to_string(at) + " of " + std::to_string(lie), other);
    }
  }
}

// Where the lengths stand: the file is walked as it was written.
std::vector<size_t> length_places(const Index& index) {
  std::vector<size_t> places;
  size_t at = index.magic.size();
  const auto one = [&](size_t content) { places.push_back(at), at += 8 + content; };
  const auto list = [&](const std::vector<std::string>& values) {
    one(0);
    for (const std::string& value : values) one(value.size());
  };
  list(index.key), one(64), list(index.classes), one(0), one(0), at += 24;
  list(index.folders), one(index.names.size());
  one(4 * index.ends.size()), one(4 * index.folder_of.size()), one(4 * index.labels.size());
  one(16 * index.places.size());
  return places;
}

template <typename Change>
void changed_part(const std::string& what, Change&& change) {
  Index index;
  change(index);
  bad(what, index.bytes());
}

void parts() {
  changed_part("another version", [](Index& i) { i.magic[7] = 2; });
  changed_part("another magic", [](Index& i) { i.magic[0] = 'm'; });
  changed_part("another key", [](Index& i) { i.key = {"fuzs"}; });
  changed_part("no key", [](Index& i) { i.key = {}; });
  changed_part("a longer key", [](Index& i) { i.key = {"fuzz", ""}; });
  changed_part("a label beyond the classes", [](Index& i) { i.labels[1] = 2; });
  changed_part("a negative label", [](Index& i) { i.labels[1] = UINT64_MAX; });
  changed_part("no classes", [](Index& i) { i.classes = {}; });
  changed_part("a folder beyond the folders", [](Index& i) { i.folder_of[1] = 3; });
  changed_part("the last folder of all", [](Index& i) { i.folder_of[1] = UINT32_MAX; });
  changed_part("no folders", [](Index& i) { i.folders = {}; });
  changed_part("ends that go back", [](Index& i) { i.ends = {10, 5, 15}; });
  changed_part("an end beyond the names", [](Index& i) { i.ends[2] = 16; });
  changed_part("an end before the names' end", [](Index& i) { i.ends[2] = 14; });
  changed_part("an end of all", [](Index& i) { i.ends[1] = UINT32_MAX; });
  changed_part("fewer ends", [](Index& i) { i.ends = {5, 15}; });
  changed_part("fewer folders of files", [](Index& i) { i.folder_of = {0, 1}; });
  changed_part("more labels", [](Index& i) { i.labels = {0, 0, 1, 1}; });
  changed_part("fewer places", [](Index& i) { i.places.pop_back(); });
  changed_part("more places", [](Index& i) { i.places.push_back({1, 2}); });
  changed_part("a place that overflows", [](Index& i) { i.places[1] = {UINT64_MAX, 1}; });
  changed_part("a place that overflows by its size", [](Index& i) { i.places[1] = {1, UINT64_MAX}; });
  changed_part("no files",
               [](Index& i) { i.names = "", i.ends = i.folder_of = i.labels = {}, i.places = {}; });
  changed_part("more dependencies", [](Index& i) { i.dependencies = 2; });
  // Eight bytes of the file are a text of nothing, which takes 32 in memory.
  changed_part("a million classes, and no end", [](Index& i) {
    i.classes.assign(1'000'000, "");
    i.behind = "x";
  });
  changed_part("two million files of nothing in no folder", [](Index& i) {
    i.names = "", i.folders = {};
    i.ends = i.folder_of = i.labels = std::vector<uint64_t>(2'000'000);
    i.places = {};
  });
}

}  // namespace

int main() {
  const Index index;
  const std::string whole = index.bytes();
  right("an archive", whole);
  Index files;
  files.places = {};
  right("files", files.bytes());
  changed(whole);
  lengths(whole, length_places(index));
  parts();
  return finish();
}
