// Any bytes as a list of images and labels, in pieces of two sizes that must not make a difference; and with
// names of classes beside it.
#include <stdexcept>

#include "data/list_parse.h"
#include "exercise.h"
#include "runtime/error.h"

using namespace mode_ensemble;

namespace {

std::string parse(std::string_view text, const std::string& name, size_t piece,
                  std::vector<std::string> classes, std::string& outcome) {
  try {
    ListParser parser(name, std::move(classes));
    for (size_t at = 0; at < text.size(); at += piece) parser.feed(text.substr(at, piece));
    const ParsedList parsed = parser.finish();
    for (int64_t i = 0; i < parsed.index.size(); ++i) {
      const auto label = static_cast<size_t>(parsed.index.label(i));
      outcome += parsed.index.path(i) + "\n" +
                 (parsed.class_names.empty() ? "" : parsed.class_names.at(label)) + "\n";
    }
    return "";
  } catch (const Error& error) {
    if (error.code() != ErrorCode::data) throw;
    return error.what();
  }
}

}  // namespace

std::string exercise(const uint8_t* data, size_t size, const std::string& name) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::string whole, pieces, named;
  const std::string sentence = parse(text, name, size + 1, {}, whole);
  if (parse(text, name, 7, {}, pieces) != sentence || pieces != whole)
    throw std::logic_error("the size of the pieces makes a difference");
  parse(text, name, size + 1, {"cat", "dog", "7"}, named);
  return sentence;
}
