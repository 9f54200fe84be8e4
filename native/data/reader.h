// A data set that can be read image by image, from any number of threads at once.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/image.h"

namespace mode_ensemble {

// Of lib/native/contract.ts. Readers refuse what they cannot use.
struct OpenDataOptions {
  std::string reader;  // a row of native/data/registry.cc
  std::string path;
  std::string split;
  std::string labels;   // which labels, or the file that holds them; '' for the reader's usual ones
  std::string root;     // what the paths in a list are relative to; '' for the list's own folder
  std::string cache;    // folder in which indices of large sets are kept; '' for none
  int64_t threads = 1;  // that index a large set
  bool skipBadImages = false;
};

// What a reader hands over: pixels that lie in memory, or the bytes of an image file. Both point into the
// reader or into `buffer`, and are valid until the next fetch into the same sample.
struct Sample {
  PixelView pixels;               // data is null where `file` has to be decoded
  std::span<const uint8_t> file;  // of an image file, whole
  std::vector<uint8_t> buffer;    // keeps its memory from image to image
};

// An image that cannot be read or decoded, and the sentence that says why.
struct BadImage {
  std::string name, reason;
};

class Reader {
 public:
  virtual ~Reader() = default;
  virtual int64_t size() const = 0;
  virtual const std::vector<std::string>& class_names() const = 0;
  // From 0; where the set has no labels of its own, the index of the image's sub-folder, or 0.
  virtual int64_t label(int64_t index) const = 0;
  // What to call the image in an error: its file, or the file and record.
  virtual std::string name(int64_t index) const = 0;
  // Throws Error(data) that names the image when its file cannot be read. Thread-safe.
  virtual void fetch(int64_t index, Sample& sample) const = 0;
  // SHA-256 in hex over the reader's version, names, sizes and a sample of the content.
  virtual const std::string& fingerprint() const = 0;
};

// Called now and then while a large set is indexed or generated, from any thread; throws to stop.
using Tick = std::function<void(int64_t done, int64_t total)>;

// One row a reader: native/data/registry.cc. Throws Error(data) or Error(config).
std::shared_ptr<const Reader> open_reader(const OpenDataOptions& options, const Tick& tick);

std::vector<std::string> builtin_set_names();

}  // namespace mode_ensemble
