#include "data/verify.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>

#include "data/decode.h"
#include "runtime/error.h"
#include "runtime/parallel.h"

namespace mode_ensemble {
namespace {

constexpr int64_t kChunk = 16;  // images: a lock and a report for each chunk
constexpr size_t kMostListed = 1000;

// What a chunk, or the whole set, was found to be.
struct Findings {
  std::map<int64_t, BadImage> bad;  // the first kMostListed by index, whichever thread found them
  int64_t bad_count = 0, bytes = 0;
  int64_t min_width = INT64_MAX, max_width = 0, min_height = INT64_MAX, max_height = 0;

  void add(Findings& other) {
    bad.merge(other.bad);
    while (bad.size() > kMostListed) bad.erase(std::prev(bad.end()));
    bad_count += other.bad_count, bytes += other.bytes;
    min_width = std::min(min_width, other.min_width), max_width = std::max(max_width, other.max_width);
    min_height = std::min(min_height, other.min_height), max_height = std::max(max_height, other.max_height);
  }
};

void verify_image(const Reader& reader, int64_t index, Sample& sample, Image& image, Findings& findings) {
  const std::string name = reader.name(index);
  try {
    reader.fetch(index, sample);
    findings.bytes += static_cast<int64_t>(sample.file.size());
    const PixelView pixels = pixels_of(name, sample, image);
    if (sample.pixels.data) findings.bytes += int64_t{3} * pixels.width * pixels.height;
    findings.min_width = std::min<int64_t>(findings.min_width, pixels.width);
    findings.max_width = std::max<int64_t>(findings.max_width, pixels.width);
    findings.min_height = std::min<int64_t>(findings.min_height, pixels.height);
    findings.max_height = std::max<int64_t>(findings.max_height, pixels.height);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::data) throw;
    findings.bad.emplace(index, BadImage{name, error.what()});
    ++findings.bad_count;
  }
}

}  // namespace

VerifyResult verify_data(const VerifyOptions& options, JobContext& context) {
  const auto start = std::chrono::steady_clock::now();
  const Reader& reader = *options.data->reader;
  const int64_t size = reader.size();
  Findings all;
  std::mutex mutex;  // of `all` and `meter`
  ProgressMeter meter(context, "verify", size);
  parallel_for((size + kChunk - 1) / kChunk, options.threads, [&](int64_t chunk) {
    // Decoders keep their memory from image to image, and from chunk to chunk.
    thread_local Sample sample;
    thread_local Image image;
    Findings findings;
    const int64_t end = std::min(size, (chunk + 1) * kChunk);
    for (int64_t i = chunk * kChunk; i < end; ++i) {
      context.throw_if_aborted();
      verify_image(reader, i, sample, image, findings);
    }
    const std::lock_guard lock(mutex);
    all.add(findings);
    meter.add(end - chunk * kChunk);
  });

  VerifyResult result;
  result.count = size;
  result.badCount = all.bad_count;
  for (auto& [index, bad] : all.bad) result.bad.push_back(std::move(bad));
  result.bytes = all.bytes;
  const bool any = all.max_width > 0;
  result.minWidth = any ? all.min_width : 0, result.maxWidth = all.max_width;
  result.minHeight = any ? all.min_height : 0, result.maxHeight = all.max_height;
  result.seconds = seconds_since(start);
  return result;
}

}  // namespace mode_ensemble
