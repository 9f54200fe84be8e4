#include "addon/fields.h"

#include <iterator>

namespace mode_ensemble::addon {

int64_t at_least(const Fields& fields, const std::string& name, int64_t least) {
  const int64_t value = fields.integer(name);
  if (value < least)
    throw Error(ErrorCode::config, fields.at(name) + ": expected at least " + std::to_string(least) +
                                       ", found " + std::to_string(value) + ".");
  return value;
}

int64_t side(const Fields& fields, const std::string& name) {
  const int64_t value = fields.integer(name);
  if (value < 1 || value > 4096)
    throw Error(ErrorCode::config,
                fields.at(name) + ": expected 1 to 4096, found " + std::to_string(value) + ".");
  return value;
}

std::string one_of(const Fields& fields, const std::string& name, std::initializer_list<const char*> known) {
  const auto value = fields.string(name);
  std::string list;
  for (const char* text : known) {
    if (value == text) return value;
    list += (list.empty() ? "" : text == *std::prev(known.end()) ? " or " : ", ") + std::string(text);
  }
  throw Error(ErrorCode::config, fields.at(name) + ": expected " + list + ", found \"" + value + "\".");
}

ArchOptions arch(const Fields& fields) {
  return {fields.string("name"), fields.integer("width"), fields.integer("classes"),
          fields.number("dropout")};
}

TransformOptions transform(const Fields& fields) {
  TransformOptions out{side(fields, "resize"),
                       one_of(fields, "fit", {"both", "short"}),
                       one_of(fields, "filter", {"bilinear", "bicubic"}),
                       side(fields, "crop"),
                       fields.triple("mean"),
                       fields.triple("std")};
  if (out.crop > out.resize)
    throw Error(ErrorCode::config, fields.at("crop") +
                                       ": expected at most resize = " + std::to_string(out.resize) +
                                       ", found " + std::to_string(out.crop) + ".");
  for (const double s : out.std)
    if (s <= 0) throw Error(ErrorCode::config, fields.at("std") + ": expected numbers above 0.");
  return out;
}

}  // namespace mode_ensemble::addon
