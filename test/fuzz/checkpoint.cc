// Fuzz target: any bytes as a checkpoint. An input that begins with "pickle:" is put into a right zip archive
// first, since the checksum of data.pkl would stop nearly every change of a whole file.
#include <cstdio>
#include <cstdlib>

#include "build_zip.h"
#include "exercise.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static constexpr char kPrefix[] = "pickle:";
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::string archive;
  if (text.starts_with(kPrefix)) {
    std::vector<TestRecord> records{{"data.pkl", std::string(text.substr(sizeof kPrefix - 1))},
                                    {"byteorder", "little"}};
    // The corpus's pickles name storages of this size (make_corpus.py).
    for (int i = 0; i < 8; ++i)
      records.push_back({"data/" + std::to_string(i), std::string(48, static_cast<char>('0' + i))});
    archive = build_zip(records);
    data = reinterpret_cast<const uint8_t*>(archive.data());
    size = archive.size();
  }
  begin_usage();
  exercise(data, size, "fuzzed");
  const Usage usage = end_usage();
  if (usage.seconds > kMaxSeconds || usage.bytes > kMaxBytes) {
    std::fprintf(stderr, "LIMIT: %.2f seconds, %lld bytes of memory\n", usage.seconds,
                 static_cast<long long>(usage.bytes));
    std::abort();
  }
  return 0;
}
