#include <charconv>

#include "data/decode.h"
#include "data/files.h"
#include "data/mat_file.h"
#include "data/readers.h"
#include "data/svhn.h"
#include "runtime/printable.h"

namespace mode_ensemble {
namespace {

constexpr int64_t kTickEvery = 4096;  // images

std::string shape_text(const MatArray& array) {
  std::string text = array.type.empty() ? "another kind of variable" : array.type;
  for (size_t i = 0; i < array.shape.size(); ++i) text += (i ? " × " : " ") + std::to_string(array.shape[i]);
  return text;
}

// MATLAB's order has the row run fastest, then the column, the channel, the image.
void read_images(const ByteSource& source, const MatArray& array, MatContent& content, const Tick& tick,
                 MemoryImages& images) {
  std::vector<int64_t> shape = array.shape;
  if (shape.size() == 3) shape.push_back(1);  // MATLAB drops a last dimension of 1
  const auto most = static_cast<int64_t>(kMaxImagePixels);
  if (array.type != "uint8" || shape.size() != 4 || shape[2] != 3 || array.elements < 1 || shape[0] > most ||
      shape[1] > most || shape[0] * shape[1] > most)
    source.fail_at(array.offset,
                   "variable 'X': expected uint8 height × width × 3 × N, found " + shape_text(array) + ".");
  const auto height = static_cast<size_t>(shape[0]), width = static_cast<size_t>(shape[1]);
  const size_t plane = height * width;
  images.width = static_cast<int>(width);
  images.height = static_cast<int>(height);
  images.pixels.resize(static_cast<size_t>(array.elements));
  std::vector<uint8_t> block(3 * plane);
  uint8_t* to = images.pixels.data();
  for (int64_t n = 0; n < shape[3]; ++n, to += block.size()) {
    if (n % kTickEvery == 0) report(tick, n, shape[3]);
    content.read_bytes(block.data(), static_cast<int64_t>(block.size()));
    for (size_t y = 0; y < height; ++y)
      for (size_t x = 0; x < width; ++x)
        for (size_t c = 0; c < 3; ++c) to[(y * width + x) * 3 + c] = block[c * plane + x * height + y];
  }
}

void read_labels(const ByteSource& source, const MatArray& array, MatContent& content, MemoryImages& images) {
  const bool vector = array.shape.size() == 2 && (array.shape[0] == 1 || array.shape[1] == 1);
  if (array.type.empty() || array.type == "complex" || !vector || array.elements < 1)
    source.fail_at(array.offset, "variable 'y': expected N × 1 numbers, found " + shape_text(array) + ".");
  images.labels.reserve(static_cast<size_t>(array.elements));
  for (int64_t n = 0; n < array.elements; ++n) {
    const double label = content.read_number();
    const bool whole = label >= 0 && label <= 10 && label == static_cast<int>(label);
    if (!whole) {
      char text[40];
      const std::string found(text, std::to_chars(text, text + sizeof text, label).ptr);
      source.fail_at(array.offset, "variable 'y': expected the digits 0 to 9 as labels, or 10 for 0, found " +
                                       found + " for image " + std::to_string(n) + ".");
    }
    images.labels.push_back(label == 10 ? 0 : static_cast<int32_t>(label));
  }
}

}  // namespace

MemoryImages read_svhn(const ByteSource& source, const Tick& tick) {
  MemoryImages images;
  std::string others;
  const auto once = [&](bool is_first, const MatArray& array) {
    if (!is_first)
      source.fail_at(array.offset, "variable '" + array.name + "': expected one, found a second.");
  };
  read_mat_file(
      source,
      [&](const MatArray& array, MatContent& content) {
        if (array.name == "X") {
          once(images.pixels.empty(), array);
          read_images(source, array, content, tick, images);
        } else if (array.name == "y") {
          once(images.labels.empty(), array);
          read_labels(source, array, content, images);
        } else if (others.size() < 200) {
          others += (others.empty() ? "'" : ", '") + printable(array.name) + "'";
        }
        return array.name == "X" || array.name == "y";
      },
      [&] { return !images.pixels.empty() && !images.labels.empty(); });
  if (images.pixels.empty())
    source.fail("expected the variables 'X' and 'y', found " +
                (others.empty() ? "no 'X'." : "no 'X' but " + others + "."));
  if (images.labels.empty()) source.fail("expected the variables 'X' and 'y', found no 'y'.");
  const size_t image = size_t{3} * static_cast<size_t>(images.width) * static_cast<size_t>(images.height);
  const size_t count = images.pixels.size() / image;
  if (count != images.labels.size())
    source.fail("expected a label for each image, found " + grouped(count) + " images in 'X' and " +
                grouped(images.labels.size()) + " labels in 'y'.");
  images.class_names = numbered_names(10);
  images.parts.push_back({source.name(), 0});
  return images;
}

}  // namespace mode_ensemble
