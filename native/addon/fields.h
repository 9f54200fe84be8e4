// One options object of the boundary, field by field: what is missing or of another type is E_CONFIG with the
// field's name.
#pragma once
#include <array>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "addon/napi_env.h"
#include "data/augment.h"
#include "data/transform.h"
#include "models/registry.h"
#include "runtime/error.h"
#include "train/options.h"

namespace mode_ensemble::addon {

[[noreturn]] inline void wrong(const std::string& field, const std::string& expected,
                               const Napi::Value& found) {
  static const char* const names[] = {"undefined", "null",   "a boolean", "a number",    "a string",
                                      "a symbol",  "object", "function",  "an external", "a bigint"};
  const int type = found.IsEmpty() ? 0 : static_cast<int>(found.Type());
  throw Error(ErrorCode::config, field + ": expected " + expected + ", found " + names[type] + ".");
}

// One options object and where it stands in the whole, for messages.
class Fields {
 public:
  Fields(const Napi::Value& value, std::string path) : path_(std::move(path)) {
    if (!value.IsObject()) wrong(path_.empty() ? "options" : path_, "an object", value);
    object_ = value.As<Napi::Object>();
  }

  std::string at(const std::string& name) const { return path_.empty() ? name : path_ + "." + name; }
  Napi::Value value(const std::string& name) const { return object_.Get(name); }
  Fields object(const std::string& name) const { return {value(name), at(name)}; }

  std::string string(const std::string& name) const {
    const auto v = value(name);
    if (!v.IsString()) wrong(at(name), "a string", v);
    return v.As<Napi::String>().Utf8Value();
  }
  bool boolean(const std::string& name) const {
    const auto v = value(name);
    if (!v.IsBoolean()) wrong(at(name), "true or false", v);
    return v.As<Napi::Boolean>().Value();
  }
  double number(const std::string& name) const { return number(value(name), at(name)); }
  int64_t integer(const std::string& name) const {
    const double number_value = number(name);
    if (std::floor(number_value) != number_value || std::fabs(number_value) > 9007199254740991.0)
      throw Error(ErrorCode::config,
                  at(name) + ": expected a whole number, found " + std::to_string(number_value) + ".");
    return static_cast<int64_t>(number_value);
  }
  std::vector<std::string> strings(const std::string& name) const { return strings(value(name), at(name)); }
  std::array<double, 3> triple(const std::string& name) const {
    const auto v = value(name);
    if (!v.IsArray() || v.As<Napi::Array>().Length() != 3) wrong(at(name), "three numbers", v);
    std::array<double, 3> out{};
    for (uint32_t i = 0; i < 3; ++i) out[i] = number(v.As<Napi::Array>().Get(i), at(name));
    return out;
  }
  std::array<double, 2> pair(const std::string& name) const {
    const auto v = value(name);
    if (!v.IsArray() || v.As<Napi::Array>().Length() != 2) wrong(at(name), "two numbers", v);
    const auto array = v.As<Napi::Array>();
    return {number(array.Get(0u), at(name)), number(array.Get(1u), at(name))};
  }
  std::map<std::string, std::string> dictionary(const std::string& name) const {
    const Fields fields = object(name);
    std::map<std::string, std::string> out;
    const auto names = fields.object_.GetPropertyNames();
    for (uint32_t i = 0; i < names.Length(); ++i) {
      const auto key = names.Get(i).ToString().Utf8Value();
      out[key] = fields.string(key);
    }
    return out;
  }
  template <typename Item>
  auto list(const std::string& name, Item item) const {
    const auto v = value(name);
    if (!v.IsArray()) wrong(at(name), "a list", v);
    const auto array = v.As<Napi::Array>();
    std::vector<decltype(item(v, std::string()))> out;
    for (uint32_t i = 0; i < array.Length(); ++i)
      out.push_back(item(array.Get(i), at(name) + "[" + std::to_string(i) + "]"));
    return out;
  }
  std::vector<double> numbers(const std::string& name) const {
    return list(name, [](const Napi::Value& item, const std::string& where) { return number(item, where); });
  }
  static std::vector<std::string> strings(const Napi::Value& v, const std::string& where) {
    if (!v.IsArray()) wrong(where, "a list of strings", v);
    const auto array = v.As<Napi::Array>();
    std::vector<std::string> out;
    for (uint32_t i = 0; i < array.Length(); ++i) {
      const Napi::Value item = array.Get(i);
      if (!item.IsString()) wrong(where, "a list of strings", item);
      out.push_back(item.As<Napi::String>().Utf8Value());
    }
    return out;
  }

 private:
  static double number(const Napi::Value& v, const std::string& where) {
    if (!v.IsNumber()) wrong(where, "a number", v);
    const double out = v.As<Napi::Number>().DoubleValue();
    if (!std::isfinite(out)) throw Error(ErrorCode::config, where + ": expected a finite number.");
    return out;
  }

  std::string path_;
  Napi::Object object_;
};

int64_t at_least(const Fields& fields, const std::string& name, int64_t least);
// A side of an image: 1 to 4096.
int64_t side(const Fields& fields, const std::string& name);
std::string one_of(const Fields& fields, const std::string& name, std::initializer_list<const char*> known);
ArchOptions arch(const Fields& fields);
TransformOptions transform(const Fields& fields);
// Two rising numbers above 0 and up to `most`.
std::array<double, 2> range(const Fields& fields, const std::string& name, double most);
AugmentOptions augment(const Fields& fields);
// What trainings of modes and of curves share.
TrainOptions training(const Fields& fields);

}  // namespace mode_ensemble::addon
