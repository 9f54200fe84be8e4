// MATLAB's MAT-files of level 5, by "MAT-File Format" (The MathWorks): numeric arrays, read in order and
// never held.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "runtime/byte_source.h"

namespace mode_ensemble {

struct MatArray {
  std::string name;
  std::string type;            // "uint8", "double", …; "" for what is no array of plain real numbers
  std::vector<int64_t> shape;  // at least one element in all, no overflow
  int64_t elements = 0;
  int64_t offset = 0;  // of the variable in the file
};

// The content of one array, the first index running fastest. Valid inside of the visitor alone.
class MatContent {
 public:
  virtual ~MatContent() = default;
  // The next `n` elements, stored as bytes: Error where they are stored otherwise.
  virtual void read_bytes(uint8_t* to, int64_t n) = 0;
  // The next element; every type of number fits but integers beyond 2^53.
  virtual double read_number() = 0;
};

// True where the content was read (all of it), false where the variable is to be passed over.
using MatVisitor = std::function<bool(const MatArray& array, MatContent& content)>;

// Calls `visit` for each variable until `done` says that no more is needed; what comes then is not looked at.
// Throws Error of the source's code that names a byte: a file of another kind, cut, or whose lengths lie. An
// array's length is checked against what the file can hold before it is shown.
void read_mat_file(const ByteSource& source, const MatVisitor& visit, const std::function<bool()>& done);

}  // namespace mode_ensemble
