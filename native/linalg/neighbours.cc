#include "linalg/neighbours.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <limits>
#include <mutex>
#include <numeric>

#include "linalg/feature_rows.h"
#include "linalg/nearest.h"
#include "linalg/sketch.h"
#include "runtime/device.h"
#include "runtime/parallel.h"

namespace mode_ensemble {
namespace {

// Numbers of a block that is read or coded at a time (16 MiB).
constexpr int64_t kBlock = int64_t{1} << 22;
constexpr int64_t kMostMemory = int64_t{1} << 24;  // MiB
constexpr int64_t kSample = 8192, kSampledQueries = 256;

// Row i of `count` goes to place i · step mod count: rows that were neighbours in the file, of one class
// perhaps, are spread over the whole, so that any part of it is a fair sample.
int64_t spreading_step(int64_t count) {
  if (count < 3) return 1;
  auto step = static_cast<int64_t>(0.6180339887 * static_cast<double>(count)) | 1;
  while (std::gcd(step, count) != 1) ++step;
  return step % count;
}

class Search {
 public:
  Search(const NeighboursOptions& options, JobContext& context) : options_(options), context_(context) {}

  NeighboursResult run() {
    if (options_.bank.empty())
      throw Error(ErrorCode::config, "bank: expected a feature file a member, found none.");
    const FeatureRows bank(options_.bank, options_.tensor);
    rows_ = bank.rows();
    width_ = bank.width();
    if (options_.k < 1 || options_.k > rows_)
      throw Error(ErrorCode::config, "k: expected 1 to the number of training features, " +
                                         std::to_string(rows_) + ", found " + std::to_string(options_.k) +
                                         ".");
    if (options_.memory < 1 || options_.memory > kMostMemory)
      throw Error(ErrorCode::config, "memory: expected 1 to " + std::to_string(kMostMemory) + " MiB, found " +
                                         std::to_string(options_.memory) + ".");
    std::vector<FeatureRows> sets = open_queries();
    read_queries(sets);
    prepare(bank);
    // Of equal size, so that none is too small to tell much.
    const int64_t fitting =
        std::max<int64_t>(kPanel, (options_.memory << 20) / Bank::bytes_of_row(width_, sketch_.width()));
    const int64_t parts = (rows_ + fitting - 1) / fitting, part = (rows_ + parts - 1) / parts;
    ProgressMeter meter(context_, "neighbours", queries_.count * parts);
    for (int64_t p = 0; p < parts; ++p)
      search_part(bank, p * part, std::min(part, rows_ - p * part), parts > 1, meter);

    NeighboursResult result;
    auto from = kth_.begin();
    for (const FeatureRows& set : sets) {
      result.distances.emplace_back(from, from + set.rows());
      from += set.rows();
    }
    result.width = sketch_.width();
    result.pairs = rows_ * queries_.count;
    result.passed = counts_.fine;
    result.computed = counts_.exact;
    return result;
  }

 private:
  std::vector<FeatureRows> open_queries() {
    std::vector<FeatureRows> sets;
    for (const auto& files : options_.queries) {
      if (files.size() != options_.bank.size())
        throw Error(ErrorCode::config, "queries: expected " + std::to_string(options_.bank.size()) +
                                           " feature files a set, found " + std::to_string(files.size()) +
                                           ".");
      sets.emplace_back(files, options_.tensor);
      if (sets.back().width() != width_)
        throw Error(ErrorCode::data, files.front() + ": expected features of width " +
                                         std::to_string(width_) + " as in the training set, found " +
                                         std::to_string(sets.back().width()) + ".");
      queries_.count += sets.back().rows();
    }
    return sets;
  }

  // work(first, count) for blocks of rows, on all threads.
  template <class Work>
  void in_blocks(int64_t rows, int64_t block, const Work& work) {
    parallel_for((rows + block - 1) / block, options_.threads, [&](int64_t b) {
      context_.throw_if_aborted();
      work(b * block, std::min(block, rows - b * block));
    });
  }

  // Row row(i) of the file to to(i), for i below `count`.
  template <class Row, class To>
  void read(const FeatureRows& from, int64_t count, const Row& row, const To& to) {
    in_blocks(count, 256, [&](int64_t begin, int64_t size) {
      std::vector<float> scratch(static_cast<size_t>(width_));
      for (int64_t i = begin; i < begin + size; ++i) from.fuse(row(i), scratch.data(), to(i));
    });
  }

  void read_queries(const std::vector<FeatureRows>& sets) {
    query_rows_.resize(static_cast<size_t>(queries_.count * width_));
    float* to = query_rows_.data();
    for (const FeatureRows& set : sets) {
      read(set, set.rows(), [](int64_t i) { return i; }, [&](int64_t i) { return to + i * width_; });
      to += set.rows() * width_;
    }
    queries_.rows = query_rows_.data();
    queries_.width = width_;
    kth_.resize(static_cast<size_t>(queries_.count), std::numeric_limits<float>::infinity());
  }

  // From samples: the centre, which makes vectors and so their codes' errors shorter and changes no distance;
  // and the sketch. Then the queries' codes.
  void prepare(const FeatureRows& bank) {
    const int64_t samples = std::min(rows_, kSample);
    auto sample = at::empty({samples, width_}, at::kFloat);
    float* to = sample.mutable_data_ptr<float>();
    std::vector<int64_t> sampled(static_cast<size_t>(samples));
    const int64_t step = spreading_step(rows_);
    for (int64_t i = 0; i < samples; ++i) sampled[static_cast<size_t>(i)] = i * step % rows_;
    std::sort(sampled.begin(), sampled.end());  // so that a bad row is found in its turn
    read(
        bank, samples, [&](int64_t i) { return sampled[static_cast<size_t>(i)]; },
        [&](int64_t i) { return to + i * width_; });
    centre_ = sample.mean(0);
    const int64_t asked = std::min(queries_.count, kSampledQueries);
    auto some = at::empty({asked, width_}, at::kFloat);
    const int64_t asked_step = spreading_step(queries_.count);
    for (int64_t i = 0; i < asked; ++i)
      std::copy_n(queries_.rows + i * asked_step % queries_.count * width_, width_,
                  some.mutable_data_ptr<float>() + i * width_);
    sketch_ = choose_sketch(sample.sub_(centre_), some.sub_(centre_), rows_, queries_.count, options_.k,
                            options_.threads);
    queries_.coarse = CoarseQueries(queries_.count, sketch_.width());
    queries_.fine = FineRows(queries_.count, width_);
    encode(queries_.rows, queries_.count, queries_.fine,
           [&](int64_t row, const float* v, float blur, int8_t*) { queries_.coarse.set(row, v, blur); });
  }

  // Codes of centred rows. `coarse` is called for rows of a panel in turn, from one thread.
  template <class Coarse>
  void encode(const float* rows, int64_t count, FineRows& fine, const Coarse& coarse) {
    const int64_t block = std::max<int64_t>(kPanel, kBlock / width_ / kPanel * kPanel);
    const float* centre = centre_.const_data_ptr<float>();
    at::Tensor centred = at::empty({std::min(block, count), width_}, at::kFloat);
    for (int64_t first = 0; first < count; first += block) {
      const int64_t size = std::min(block, count - first);
      float* x = centred.mutable_data_ptr<float>();
      in_blocks(size, 256, [&](int64_t begin, int64_t some) {
        std::vector<int8_t> codes(static_cast<size_t>(sketch_.width()));
        for (int64_t i = begin; i < begin + some; ++i) {
          const float* row = rows + (first + i) * width_;
          for (int64_t d = 0; d < width_; ++d) x[i * width_ + d] = row[d] - centre[d];
          fine.set(first + i, x + i * width_);
          if (sketch_.whole()) coarse(first + i, x + i * width_, 0.0F, codes.data());
        }
      });
      if (sketch_.whole()) continue;
      std::vector<float> blur;
      const at::Tensor sketched = sketch_.of(centred.narrow(0, 0, size), blur);
      const float* s = sketched.const_data_ptr<float>();
      in_blocks(size, 256, [&](int64_t begin, int64_t some) {
        std::vector<int8_t> codes(static_cast<size_t>(sketch_.width()));
        for (int64_t i = begin; i < begin + some; ++i)
          coarse(first + i, s + i * sketch_.width(), blur[static_cast<size_t>(i)], codes.data());
      });
    }
  }

  void search_part(const FeatureRows& file, int64_t first, int64_t count, bool parts, ProgressMeter& meter) {
    std::vector<float> rows(static_cast<size_t>(count * width_));
    const int64_t step = spreading_step(count);
    read(
        file, count, [&](int64_t i) { return first + i; },
        [&](int64_t i) { return rows.data() + i * step % count * width_; });
    Bank bank{rows.data(), count, width_, CoarseBank(count, sketch_.width()), FineRows(count, width_)};
    encode(rows.data(), count, bank.fine, [&](int64_t row, const float* v, float blur, int8_t* codes) {
      bank.coarse.set(row, v, blur, codes);
    });
    SearchState state{nullptr, nullptr, kth_.data()};
    if (parts) {
      if (first > 0) state.known = best_.data();
      best_.resize(static_cast<size_t>(queries_.count * options_.k));
      state.best = best_.data();
    }
    std::mutex reporting;
    in_blocks(queries_.count, search_block(queries_.count, sketch_.width(), options_.threads),
              [&](int64_t begin, int64_t size) {
                const SearchCounts counts = search(bank, queries_, begin, size, options_.k, state,
                                                   [&] { context_.throw_if_aborted(); });
                const std::lock_guard lock(reporting);
                counts_.fine += counts.fine;
                counts_.exact += counts.exact;
                meter.add(size);
              });
  }

  const NeighboursOptions& options_;
  JobContext& context_;
  int64_t rows_ = 0, width_ = 0;
  std::vector<float> query_rows_;
  Queries queries_;
  at::Tensor centre_;
  Sketch sketch_;
  std::vector<float> kth_;
  // [queries, k], only where the bank comes in more than one part.
  std::vector<float> best_;
  SearchCounts counts_;
};

}  // namespace

NeighboursResult neighbours(const NeighboursOptions& options, JobContext& context) {
  use_threads(options.threads);
  const c10::NoGradGuard no_grad;
  return Search(options, context).run();
}

}  // namespace mode_ensemble
