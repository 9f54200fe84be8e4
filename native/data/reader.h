// A data set that can be read image by image, from any number of threads at once.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/image.h"

namespace mode_ensemble {

struct OpenDataOptions {
  std::string reader;  // cifar10 | folder | builtin
  std::string path;
  std::string split;
  bool skipBadImages = false;
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
  // Throws Error(data) that names the image when it cannot be decoded. Thread-safe.
  virtual void read(int64_t index, Image& image) const = 0;
  // SHA-256 in hex over the reader's version, names, sizes and a sample of the content.
  virtual const std::string& fingerprint() const = 0;
};

// Called now and then while a large set is indexed or generated; throws to stop.
using Tick = std::function<void(int64_t done, int64_t total)>;

// One row a reader: native/data/registry.cc. Throws Error(data) or Error(config).
std::shared_ptr<const Reader> open_reader(const OpenDataOptions& options, const Tick& tick);

std::vector<std::string> builtin_set_names();

}  // namespace mode_ensemble
