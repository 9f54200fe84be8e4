// What the readers of CIFAR-10 and CIFAR-100 share (https://www.cs.toronto.edu/~kriz/cifar.html). Either
// layout is read into the records of CIFAR-10's binary files: one label byte and 3,072 pixel bytes, the red
// plane first, then green, then blue, each 32 rows of 32. So the same images have the same fingerprint.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/byte_source.h"

namespace mode_ensemble {

inline constexpr int kCifarSide = 32;
inline constexpr size_t kCifarPlane = kCifarSide * kCifarSide;
inline constexpr size_t kCifarPixels = 3 * kCifarPlane;
inline constexpr size_t kCifarRecord = 1 + kCifarPixels;

// One of the labels that an image has.
struct CifarLabels {
  const char* option;                  // as asked for
  const char* adjective;               // "coarse ", for messages
  const char* names_file;              // of the binary layout
  const char* entry;                   // of a pickled batch
  const char* names_entry;             // of the pickled meta file
  std::span<const char* const> names;  // as published
};

struct CifarSet {
  const char* title;
  const char* version;                        // what the fingerprint begins with
  const char *binary_folder, *python_folder;  // in the published archives
  const char *train, *test;                   // files' names, to which the binary layout adds ".bin"
  int train_files;                            // numbered from 1 where there are several
  const char* meta_file;                      // of the Python layout
  std::span<const CifarLabels> labels;        // as they stand before a binary record's pixels
  size_t usual_labels;
};

// A file's records, each with the label `which` of set.labels. Throw Error(data) that names the file and what
// is wrong.
void read_cifar_binary(const CifarSet& set, size_t which, const std::string& path,
                       std::vector<uint8_t>& records);
void read_cifar_pickle(const CifarSet& set, size_t which, const ByteSource& source,
                       std::vector<uint8_t>& records);
std::vector<std::string> read_cifar_meta(const CifarSet& set, size_t which, const ByteSource& source);

extern const CifarSet kCifar10, kCifar100;

}  // namespace mode_ensemble
