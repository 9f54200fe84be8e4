#include "bad.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>

#include "exercise.h"
#include "usage.h"

namespace {

int checked = 0, failed = 0;
double slowest = 0;
std::string slowest_name;
// Inputs of megabytes, and a build whose sanitizers cost it several times the time.
constexpr double kSlack = 4;
int64_t largest = 0;

}  // namespace

void check(const std::string& what, const std::string& bytes, const std::string& words, bool must_fail) {
  const std::string name = "FILE-" + std::to_string(checked++);
  std::string sentence, fault;
  begin_usage();
  try {
    sentence = exercise(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), name);
  } catch (const std::exception& error) {
    fault = std::string("an exception that is not the reader's Error: ") + error.what();
  }
  const Usage usage = end_usage();
  if (usage.seconds > slowest) slowest = usage.seconds, slowest_name = what;
  // The source's own copy of the bytes is not the reader's doing.
  largest = std::max(largest, usage.bytes - static_cast<int64_t>(bytes.size()));
  if (fault.empty() && must_fail && sentence.empty()) fault = "no error";
  if (fault.empty() && !must_fail && !sentence.empty()) fault = "an error: " + sentence;
  if (fault.empty() && must_fail &&
      !sentence.starts_with(name + (every_error_names_a_byte ? ": byte " : ": ")))
    fault = "no file and byte: " + sentence;
  if (fault.empty() && sentence.find(words) == std::string::npos)
    fault = "not \"" + words + "\": " + sentence;
  if (fault.empty() && usage.seconds > kSlack * kMaxSeconds)
    fault = std::to_string(usage.seconds) + " seconds";
  if (fault.empty() && usage.bytes - static_cast<int64_t>(bytes.size()) > kMaxBytes)
    fault = std::to_string(usage.bytes) + " bytes of memory";
  if (fault.empty()) return;
  ++failed;
  std::printf("%s: %s\n", what.c_str(), fault.c_str());
}

int finish() {
  std::printf("%d bad inputs, %d failed; slowest %.3f s (%s), largest %.1f MB\n", checked, failed, slowest,
              slowest_name.c_str(), static_cast<double>(largest) / 1e6);
  return failed == 0 ? 0 : 1;
}

std::string repeat(const std::string& what, size_t n) {
  std::string out;
  out.reserve(what.size() * n);
  for (size_t i = 0; i < n; ++i) out += what;
  return out;
}
