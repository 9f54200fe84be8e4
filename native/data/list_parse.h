// A text of images and labels, a line each.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "data/file_index.h"

namespace mode_ensemble {

struct ParsedList {
  FileIndex index;
  std::vector<std::string> class_names;  // empty where no image has a label
};

// Takes the text in pieces of any size, so that a large one never lies in memory whole. Throws Error(data)
// that names the file and the line.
class ListParser {
 public:
  static constexpr size_t kMaxLine = 64 << 10;

  // `path` is the file, for errors; `classes` are the names in classes.txt beside it, empty where there is
  // none.
  ListParser(std::string path, std::vector<std::string> classes);
  void feed(std::string_view piece);
  ParsedList finish();

 private:
  enum class Labels { unknown, none, numbers, names };

  void take_line();
  void take_image(std::string_view path, const std::string& label);
  int32_t label_number(const std::string& label);
  int32_t label_of_name(const std::string& label);
  void sort_names();
  [[noreturn]] void fail(const std::string& sentence) const;

  std::string path_;
  std::vector<std::string> classes_;
  std::string line_;
  int64_t number_ = 0;     // of the line, from 1
  char separator_ = '\0';  // ' ' for blanks, '\0' while unknown
  Labels labels_ = Labels::unknown;
  int64_t labels_from_ = 0;  // the line that told
  int32_t most_ = 0;         // of labels that are numbers
  std::unordered_map<std::string, int32_t>
      names_;  // of labels that are names, in the order of their first image
  std::unordered_map<std::string, uint32_t> folders_;
  FileIndex index_;
};

}  // namespace mode_ensemble
