#include "data/list_parse.h"

#include <algorithm>
#include <array>

#include "data/files.h"
#include "runtime/error.h"
#include "runtime/printable.h"

namespace mode_ensemble {
namespace {

// Beyond these, a folder's name stays with the file's: where each image has a folder of its own, a table of
// them would take more than it saves.
constexpr size_t kMaxFolders = 1 << 16;

constexpr std::string_view kBlanks = " \t";

std::string_view trimmed(std::string_view text) {
  const size_t from = text.find_first_not_of(kBlanks);
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(kBlanks) - from + 1);
}

bool is_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// The first of tab, comma and semicolon that is there outside of quotes, else blanks.
char find_separator(std::string_view line) {
  for (const char separator : {'\t', ',', ';'}) {
    bool quoted = false;
    for (const char c : line) {
      if (c == '"') quoted = !quoted;
      if (c == separator && !quoted) return separator;
    }
  }
  return ' ';
}

// A field in quotes, of which "" is one quote, as in RFC 4180. Takes it off the line's front, what follows it
// stays. False where the quotes are not closed.
bool take_quoted(std::string_view& rest, std::string& field) {
  rest.remove_prefix(1);
  while (!rest.empty()) {
    const size_t quote = rest.find('"');
    if (quote == std::string_view::npos) return false;
    field += rest.substr(0, quote);
    rest.remove_prefix(quote + 1);
    if (!rest.starts_with('"')) return true;
    field += '"';
    rest.remove_prefix(1);
  }
  return false;
}

bool is_header(std::string path, std::string label) {
  static constexpr std::array<std::string_view, 4> kPaths = {"path", "filename", "file", "image"};
  static constexpr std::array<std::string_view, 3> kLabels = {"label", "class", ""};
  for (std::string* text : {&path, &label})
    for (char& c : *text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return std::find(kPaths.begin(), kPaths.end(), path) != kPaths.end() &&
         std::find(kLabels.begin(), kLabels.end(), label) != kLabels.end();
}

// A message holds its beginning.
std::string shown(std::string_view text) {
  return "'" + printable(text.substr(0, 60)) + (text.size() > 60 ? "…'" : "'");
}

}  // namespace

ListParser::ListParser(std::string path, std::vector<std::string> classes)
    : path_(std::move(path)), classes_(std::move(classes)) {}

void ListParser::fail(const std::string& sentence) const {
  throw Error(ErrorCode::data, path_ + ": line " + std::to_string(number_) + ": " + sentence + ".");
}

void ListParser::feed(std::string_view piece) {
  while (!piece.empty()) {
    const size_t end = piece.find('\n');
    const std::string_view part = piece.substr(0, end);
    if (line_.size() + part.size() > kMaxLine) {
      ++number_;
      fail("expected lines of at most 65,536 bytes, found a longer one");
    }
    line_ += part;
    if (end == std::string_view::npos) return;
    take_line();
    piece.remove_prefix(end + 1);
  }
}

void ListParser::take_line() {
  ++number_;
  std::string_view line = line_;
  if (number_ == 1) {
    if (line.starts_with("\xff\xfe") || line.starts_with("\xfe\xff")) fail("expected UTF-8, found UTF-16");
    if (line.starts_with("\xef\xbb\xbf")) line.remove_prefix(3);
  }
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (line.find('\0') != std::string_view::npos) fail("expected text, found a zero byte");
  const bool is_first = separator_ == '\0';
  const std::string_view content = trimmed(line);
  if (content.empty() || content.starts_with('#')) return line_.clear();
  if (is_first) separator_ = find_separator(content);

  std::string_view rest = separator_ == ' ' ? content : line;
  std::vector<std::string> fields;
  if (separator_ == ' ') {
    std::string path;
    if (rest.starts_with('"')) {
      if (!take_quoted(rest, path)) fail("expected a closing quote, found none");
      rest = trimmed(rest);
    } else {
      const size_t blank = rest.find_last_of(kBlanks);
      path = trimmed(rest.substr(0, blank));
      rest = blank == std::string_view::npos ? std::string_view() : rest.substr(blank + 1);
    }
    fields = {path, std::string(rest)};
  } else {
    bool more = true;
    while (more) {
      std::string& field = fields.emplace_back();
      const size_t from = rest.find_first_not_of(' ');
      if (from != std::string_view::npos && rest[from] == '"') {
        rest.remove_prefix(from);
        if (!take_quoted(rest, field)) fail("expected a closing quote, found none");
        const size_t next = rest.find(separator_);
        if (!trimmed(rest.substr(0, next)).empty()) fail("expected a separator after a closing quote");
      } else {
        field = trimmed(rest.substr(0, rest.find(separator_)));
      }
      const size_t next = rest.find(separator_);
      more = next != std::string_view::npos;
      if (more) rest.remove_prefix(next + 1);
    }
    fields.resize(std::max<size_t>(fields.size(), 2));
  }
  if (fields.size() > 2)
    fail("expected a path and a label, found " + std::to_string(fields.size()) +
         " fields; a path that holds a separator stands in quotes");
  if (!(is_first && is_header(fields[0], fields[1]))) take_image(fields[0], fields[1]);
  line_.clear();
}

void ListParser::take_image(std::string_view path, const std::string& label) {
  if (path.empty()) fail("expected a path, found none");
  if (label.starts_with('-') && label != "-1" && is_digits(std::string_view(label).substr(1)))
    fail("expected a label from 0, found " + shown(label));
  // Lists of images that belong to no class, as OpenOOD's, give them the label -1.
  const Labels kind = label.empty() || label == "-1" ? Labels::none
                      : is_digits(label)             ? Labels::numbers
                                                     : Labels::names;
  if (labels_ == Labels::unknown) labels_ = kind, labels_from_ = number_;
  const bool fits = kind == labels_ || (labels_ == Labels::names && kind == Labels::numbers);
  if (!fits) {
    static constexpr const char* kExpected[] = {"", "no label", "a whole number from 0 as label", "a label"};
    const std::string example = labels_from_ > 0 ? ", as in line " + std::to_string(labels_from_) : "";
    fail(std::string("expected ") + kExpected[static_cast<int>(labels_)] + example + ", found " +
         (label.empty() ? "none" : shown(label)));
  }
  int32_t number = 0;
  if (labels_ == Labels::numbers) number = label_number(label);
  if (labels_ == Labels::names) number = label_of_name(label);

  const size_t slash = path.rfind('/');
  std::string folder(slash == std::string_view::npos || slash == 0 ? "" : path.substr(0, slash));
  auto known = folders_.find(folder);
  if (known == folders_.end()) {
    if (folders_.size() >= kMaxFolders) folder.clear();
    known = folders_.find(folder);
    if (known == folders_.end()) known = folders_.emplace(folder, index_.add_folder(folder)).first;
  }
  index_.add(known->second, folder.empty() ? path : path.substr(folder.size() + 1), number);
}

int32_t ListParser::label_number(const std::string& label) {
  const int64_t limit = classes_.empty() ? kMaxClasses : static_cast<int64_t>(classes_.size());
  const int64_t number = label.size() > 9 ? kMaxClasses : std::stoll(label);
  if (number >= limit) {
    const std::string why = classes_.empty() ? "" : " (classes.txt names " + std::to_string(limit) + ")";
    fail("expected a label from 0 to " + std::to_string(limit - 1) + why + ", found " + shown(label));
  }
  most_ = std::max(most_, static_cast<int32_t>(number));
  return static_cast<int32_t>(number);
}

int32_t ListParser::label_of_name(const std::string& label) {
  if (names_.empty())
    for (size_t i = 0; i < classes_.size(); ++i) names_.emplace(classes_[i], static_cast<int32_t>(i));
  const auto known = names_.find(label);
  if (known != names_.end()) return known->second;
  if (!classes_.empty()) fail("expected a label that classes.txt names, found " + shown(label));
  if (static_cast<int64_t>(names_.size()) >= kMaxClasses)
    fail("expected at most " + std::to_string(kMaxClasses) + " different labels, found more");
  const auto number = static_cast<int32_t>(names_.size());
  names_.emplace(label, number);
  return number;
}

// Labels that are names are numbered in the order of their bytes.
void ListParser::sort_names() {
  for (const auto& [name, number] : names_) classes_.push_back(name);
  std::sort(classes_.begin(), classes_.end());
  std::vector<int32_t> sorted(classes_.size());
  for (size_t i = 0; i < classes_.size(); ++i)
    sorted[static_cast<size_t>(names_.at(classes_[i]))] = static_cast<int32_t>(i);
  for (int64_t i = 0; i < index_.size(); ++i)
    index_.set_label(i, sorted[static_cast<size_t>(index_.label(i))]);
}

ParsedList ListParser::finish() {
  if (!line_.empty()) take_line();
  if (classes_.empty() && labels_ == Labels::names) sort_names();
  if (classes_.empty() && labels_ == Labels::numbers) classes_ = numbered_names(most_ + 1);
  ParsedList parsed{std::move(index_), {}};
  if (labels_ != Labels::none) parsed.class_names = std::move(classes_);
  return parsed;
}

}  // namespace mode_ensemble
