// The loader, tried without Node and without LibTorch, so that it can run under the address and the thread sanitizer
// (scripts/sanitize.mjs). Arguments: folders of images, which go through it as well. Prints what fails; exits 1 if
// anything does.
#include "data/loader.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <set>

#include "cuda/squares_kernel.h"
#include "data/readers.h"
#include "expect.h"
#include "runtime/error.h"
#include "runtime/sha256.h"

namespace {

using namespace mode_ensemble;

// Images of 8 × 8 pixels, each of one colour, which tells its index; some cannot be read.
class FakeReader : public Reader {
 public:
  FakeReader(int64_t size, std::set<int64_t> bad = {}) : size_(size), bad_(std::move(bad)) {}
  int64_t size() const override { return size_; }
  const std::vector<std::string>& class_names() const override { return names_; }
  int64_t label(int64_t index) const override { return index; }
  std::string name(int64_t index) const override { return "image " + std::to_string(index); }
  const std::string& fingerprint() const override { return names_[0]; }
  void fetch(int64_t index, Sample& sample) const override {
    ++fetched;
    if (bad_.contains(index)) throw Error(ErrorCode::data, name(index) + ": it is bad.");
    sample.buffer.assign(8 * 8 * 3, static_cast<uint8_t>(index));
    sample.pixels = {sample.buffer.data(), 8, 8, 24};
    if (slow) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }

  mutable std::atomic<int64_t> fetched = 0;
  bool slow = false;

 private:
  int64_t size_;
  std::set<int64_t> bad_;
  std::vector<std::string> names_ = {"one"};
};

struct Slot {
  std::vector<uint8_t> images;
  std::vector<int64_t> labels;
};

SlotMemory allocate(int64_t rows, size_t bytes) {
  auto slot = std::make_shared<Slot>();
  slot->images.resize(static_cast<size_t>(rows) * bytes);
  slot->labels.resize(static_cast<size_t>(rows));
  return {slot->images.data(), slot->labels.data(), slot};
}

LoaderOptions options_of(int64_t batch, int64_t workers) {
  LoaderOptions options;
  options.prepare.transform = {8, "both", "bilinear", 8, {0.5, 0.5, 0.5}, {1, 1, 1}};
  options.prepare.type = PixelType::uint8;
  options.batchSize = batch;
  options.workers = workers;
  return options;
}

std::shared_ptr<DataSet> set_of(std::shared_ptr<const Reader> reader, bool skip = false) {
  auto data = std::make_shared<DataSet>();
  data->reader = std::move(reader);
  data->skipBadImages = skip;
  return data;
}

struct Stream {
  std::vector<int64_t> labels;
  std::vector<int64_t> batches;  // rows
  std::string sum;
  std::vector<BadImage> skipped;
  size_t slots = 0;
};

Stream read_all(std::shared_ptr<const DataSet> data, const LoaderOptions& options) {
  std::set<size_t> slots;
  Stream stream;
  Sha256 sum;
  const size_t bytes = Preparation(options.prepare, nullptr).bytes();
  Loader loader(std::move(data), options, allocate);
  for (LoadedBatch batch; loader.next(batch);) {
    const SlotMemory& memory = loader.memory(batch.slot);
    slots.insert(batch.slot);
    stream.labels.insert(stream.labels.end(), memory.labels, memory.labels + batch.rows);
    stream.batches.push_back(batch.rows);
    sum.update(memory.images, static_cast<size_t>(batch.rows) * bytes);
    const auto* pixels = static_cast<const uint8_t*>(memory.images);
    for (int64_t row = 0; row < batch.rows && options.prepare.type == PixelType::uint8; ++row)
      if (bytes == 192 && !options.prepare.training)
        expect(pixels[static_cast<size_t>(row) * bytes] == static_cast<uint8_t>(memory.labels[row]),
               "an image and its label belong together");
  }
  stream.sum = sum.hex();
  stream.skipped = loader.skipped();
  stream.slots = slots.size();
  return stream;
}

std::vector<int64_t> counted(int64_t n) {
  std::vector<int64_t> out;
  for (int64_t i = 0; i < n; ++i) out.push_back(i);
  return out;
}

void order() {
  for (const int64_t size : {0, 1, 7, 64, 1000})
    for (const int64_t batch : {1, 7, 256})
      for (const int64_t workers : {1, 2, 7}) {
        const auto stream = read_all(set_of(std::make_shared<FakeReader>(size)), options_of(batch, workers));
        expect(stream.labels == counted(size), "each image once, in data-set order");
        expect(static_cast<int64_t>(stream.batches.size()) == (size + batch - 1) / batch, "as many batches");
      }
}

void bounded() {
  auto reader = std::make_shared<FakeReader>(10'000);
  Loader loader(set_of(reader), options_of(10, 4), allocate);
  LoadedBatch batch;
  loader.next(batch);
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  expect(reader->fetched <= 60, "a queue that is not emptied stops the workers, found " +
                                    std::to_string(reader->fetched) + " images read");
}

void shards() {
  for (const int64_t ranks : {1, 2, 3, 5})
    for (const bool even : {false, true}) {
      std::vector<int64_t> seen;
      for (int64_t rank = 0; rank < ranks; ++rank) {
        auto options = options_of(4, 2);
        options.sampler = {true, 3, 1, rank, ranks, even};
        const auto stream = read_all(set_of(std::make_shared<FakeReader>(101)), options);
        if (even)
          expect(static_cast<int64_t>(stream.labels.size()) == (101 + ranks - 1) / ranks, "even shards are even");
        seen.insert(seen.end(), stream.labels.begin(), stream.labels.end());
      }
      std::sort(seen.begin(), seen.end());
      if (!even) expect(seen == counted(101), "the shards together hold each image once");
      seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
      expect(seen == counted(101), "the shards together hold every image");
    }
}

void randomness() {
  std::set<std::string> sums;
  for (const uint64_t epoch : {0, 1}) {
    std::string first;
    for (const int64_t workers : {1, 2, 7}) {
      auto options = options_of(16, workers);
      options.sampler = {true, 9, epoch};
      options.prepare.training = true;
      options.prepare.augment.crop = "padded";
      options.prepare.augment.cropPadding = 2;
      options.prepare.augment.flip = true;
      options.prepare.augment.randAugment = 9;
      options.prepare.augment.erasing = 0.5;
      options.prepare.seed = 9;
      options.prepare.epoch = epoch;
      const auto stream = read_all(set_of(std::make_shared<FakeReader>(500)), options);
      if (first.empty()) first = stream.sum;
      expect(stream.sum == first, "the stream does not depend on the number of workers");
      sums.insert(stream.sum);
    }
  }
  expect(sums.size() == 2, "another epoch is another stream");
}

void bad_images() {
  const std::set<int64_t> bad = {0, 5, 6, 7, 8, 63, 99};
  for (const int64_t workers : {1, 3}) {
    const auto stream = read_all(set_of(std::make_shared<FakeReader>(100, bad), true), options_of(8, workers));
    expect(stream.labels.size() == 93 && std::is_sorted(stream.labels.begin(), stream.labels.end()),
           "bad images are passed over, the others stay in order");
    std::vector<std::string> names;
    for (const auto& image : stream.skipped) names.push_back(image.name);
    expect(names == std::vector<std::string>{"image 0", "image 5", "image 6", "image 7", "image 8", "image 63",
                                             "image 99"},
           "bad images are listed in order");
    std::string sentence;
    try {
      read_all(set_of(std::make_shared<FakeReader>(100, std::set<int64_t>{42, 44, 90})), options_of(50, workers));
    } catch (const Error& error) {
      sentence = error.what();
    }
    expect(sentence == "image 42: it is bad.", "the first bad image is named, found: " + sentence);
  }
}

void early_end() {
  for (int i = 0; i < 50; ++i) {
    auto reader = std::make_shared<FakeReader>(1000);
    reader->slow = i % 2 == 0;
    Loader loader(set_of(reader), options_of(8, 4), allocate);
    LoadedBatch batch;
    for (int k = 0; k < i % 5; ++k) loader.next(batch);
  }  // the destructor waits for its threads: what they touch is gone afterwards
}

void kept_squares() {
  auto reader = std::make_shared<FakeReader>(300);
  auto data = set_of(reader);
  std::vector<std::string> sums;
  for (const uint64_t epoch : {0, 1, 0}) {
    auto options = options_of(32, 4);
    options.prepare.transform.resize = options.prepare.transform.crop = 6;
    options.prepare.epoch = epoch;
    options.prepare.training = true;
    options.prepare.augment.crop = "padded";
    options.prepare.augment.cropPadding = 1;
    options.keepDecoded = 1 << 20;
    sums.push_back(read_all(data, options).sum);
  }
  expect(reader->fetched == 300, "each image is read once, and then lives in memory");
  expect(sums[0] == sums[2] && sums[0] != sums[1], "what was kept gives the same stream");
}

// What this machine's vector instructions give is what any machine gives.
void same_on_any_machine() {
  RandomStream random(1, "kernels");
  for (int i = 0; i < 200; ++i) {
    const auto size = [&](uint32_t most) { return 1 + static_cast<int>(random.below(most)); };
    const int width = size(200), height = size(200), to_width = size(150), to_height = size(150);
    const Region window = {static_cast<int>(random.below(to_width)), static_cast<int>(random.below(to_height)), 1, 1};
    const Region part = {window.left, window.top, size(to_width - window.left), size(to_height - window.top)};
    Image image;
    uint8_t* pixels = image.make(width, height);
    for (size_t k = 0; k < image.bytes(); ++k) pixels[k] = static_cast<uint8_t>(random.next() >> (i % 2 ? 56 : 63) << (i % 2 ? 0 : 7));
    std::vector<std::vector<uint8_t>> found;
    for (const ResizeKernels* kernels : {&resize_kernels(), &portable_resize_kernels()}) {
      Resampler resampler(*kernels);
      resampler.plan(width, height, to_width, to_height, part, i % 3 ? Filter::bilinear : Filter::bicubic, i % 5 == 0);
      Image out;
      resampler.run(image.view().part(resampler.needed()), out.make(part.width, part.height));
      found.emplace_back(out.data(), out.data() + out.bytes());
    }
    expect(found[0] == found[1], "resampling gives the same bits on any machine");
    Sha256 fast(false), portable(true);
    fast.update(image.data(), image.bytes());
    portable.update(image.data(), image.bytes());
    expect(fast.hex() == portable.hex(), "SHA-256 gives the same sum on any machine");
  }
}

void folders(int count, char** paths) {
  for (int i = 0; i < count; ++i) {
    OpenDataOptions opening;
    opening.path = paths[i];
    auto data = set_of(open_folder(opening, {}));
    for (const auto mode : {DecodeMode::exact, DecodeMode::fast}) {
      std::string first;
      for (const int64_t workers : {1, 2, 7}) {
        auto options = options_of(16, workers);
        options.prepare.transform = {64, "short", "bicubic", 56, {0.5, 0.5, 0.5}, {0.2, 0.2, 0.2}};
        options.prepare.type = PixelType::bfloat16;
        options.prepare.training = true;
        options.prepare.augment.crop = "resized";
        options.prepare.augment.flip = true;
        options.prepare.augment.randAugment = 9;
        options.prepare.augment.erasing = 0.5;
        options.prepare.decode = mode;
        const auto stream = read_all(data, options);
        if (first.empty()) first = stream.sum;
        expect(stream.sum == first, "real images do not depend on the number of workers");
      }
    }
  }
}

// What a GPU's kernel writes, computed here: the arithmetic is the same code.
void moved_squares() {
  struct Noise final : FakeReader {
    Noise() : FakeReader(40) {}
    void fetch(int64_t index, Sample& sample) const override {
      RandomStream random(3, "noise", static_cast<uint64_t>(index));
      sample.buffer.resize(8 * 8 * 3);
      for (auto& value : sample.buffer) value = static_cast<uint8_t>(random.next());
      sample.pixels = {sample.buffer.data(), 8, 8, 24};
    }
  };
  const Noise reader;
  auto options = options_of(1, 1).prepare;
  options.type = PixelType::float32;
  options.augment.crop = "padded";
  options.augment.cropPadding = 9;  // some images vanish
  options.augment.flip = true;
  options.seed = 11;
  int flipped = 0, moved = 0;
  for (const bool training : {false, true})
    for (options.epoch = 0; options.epoch < 5; ++options.epoch) {
      options.training = training;
      const Preparation preparation(options, nullptr);
      std::vector<float> lookup(3 * 256), expected(8 * 8 * 3), found(8 * 8 * 3);
      preparation.copy_lookup(lookup.data());
      Workspace space;
      Sample sample;
      for (int64_t image = 0; image < reader.size(); ++image) {
        preparation.run(reader, image, space, expected.data());
        reader.fetch(image, sample);
        const Framing framing = motion_of(options, image);
        const SquareMove move{static_cast<int32_t>(image), framing.shift_x, framing.shift_y, framing.flip};
        flipped += move.flip, moved += move.shift_x != 0 && move.shift_y != 0;
        for (int place = 0; place < 8 * 8 * 3; ++place)
          found[static_cast<size_t>(place)] =
              lookup[static_cast<size_t>(place % 3 * 256 + moved_value(sample.pixels.data, 8, move, place / 24,
                                                                       place / 3 % 8, place % 3))];
        expect(found == expected, "moved squares are those of a GPU's kernel");
      }
    }
  expect(flipped > 50 && moved > 50, "squares are moved and flipped");
}

}  // namespace

// test/native/neighbours.cc and leading.cc.
void test_neighbours();
void test_leading();

int main(int count, char** arguments) {
  order();
  bounded();
  shards();
  randomness();
  bad_images();
  early_end();
  kept_squares();
  same_on_any_machine();
  moved_squares();
  test_neighbours();
  test_leading();
  folders(count - 1, arguments + 1);
  if (failed == 0) std::printf("loader: everything as expected\n");
  return failed > 0;
}
