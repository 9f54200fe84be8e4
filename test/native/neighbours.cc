// The search for nearest neighbours: each set of instructions against plain C++, and all of it against all distances.
#include <algorithm>
#include <string>
#include <vector>

#include "expect.h"
#include "linalg/near_kernels.h"
#include "linalg/nearest.h"
#include "runtime/random.h"

namespace {

using namespace mode_ensemble;

// Any panel, any group and any length: the same marks and the same product from each set of instructions.
void same_neighbours_on_any_machine() {
  RandomStream random(2, "kernels");
  const auto below = [&](int n) { return static_cast<int>(random.next() % static_cast<uint64_t>(n)); };
  const std::vector<NearKernels> kernels = all_near_kernels();
  for (int round = 0; round < 200; ++round) {
    const int quads = 1 + below(70);
    std::vector<int8_t> queries(static_cast<size_t>(kGroup * 4 * quads));
    std::vector<uint8_t> codes(static_cast<size_t>(kPanel * 4 * quads));
    for (int8_t& code : queries) code = static_cast<int8_t>(below(255) - 127);
    for (uint8_t& code : codes) code = static_cast<uint8_t>(1 + below(255));
    int32_t start[kGroup];
    float query_scale[kGroup], least[kGroup], scale[kPanel], half[kPanel];
    for (int i = 0; i < kGroup; ++i) {
      int sum = 0;
      for (int d = 0; d < 4 * quads; ++d) sum += queries[static_cast<size_t>(i * 4 * quads + d)];
      start[i] = -128 * sum;
      query_scale[i] = 1 / static_cast<float>(1 << below(8));
      least[i] = static_cast<float>(below(20001) - 10000);
    }
    // Powers of two, so that no product is rounded, fused with the next step or not.
    for (int r = 0; r < kPanel; ++r) {
      scale[r] = 1 / static_cast<float>(1 << below(8));
      half[r] = static_cast<float>(below(1000));
    }
    std::vector<int16_t> a(static_cast<size_t>(32 * (1 + below(40)))), b(a.size());
    for (int16_t& code : a) code = static_cast<int16_t>(below(2001) - 1000);
    for (int16_t& code : b) code = static_cast<int16_t>(below(2001) - 1000);
    uint32_t expected[kGroup], found[kGroup];
    const NearKernels& plain = kernels.back();
    plain.mark({queries.data(), start, query_scale}, {codes.data(), scale, half}, quads, least, expected);
    for (const NearKernels& fast : kernels) {
      fast.mark({queries.data(), start, query_scale}, {codes.data(), scale, half}, quads, least, found);
      expect(std::equal(found, found + kGroup, expected), std::string("marks of ") + fast.name);
      const auto n = static_cast<int64_t>(a.size());
      expect(fast.dot(a.data(), b.data(), n) == plain.dot(a.data(), b.data(), n), std::string("product of ") + fast.name);
    }
  }
}

// The search against all distances, with rows and queries that fill neither panels nor groups, in one part and in two.
void all_neighbours() {
  constexpr int64_t kRows = 517, kQueries = 29, kWidth = 37, kNearest = 20, kFirst = 300;
  RandomStream random(3, "neighbours");
  const auto numbers = [&](int64_t n) {
    std::vector<float> out(static_cast<size_t>(n));
    for (float& value : out) value = static_cast<float>(random.next() >> 40) * 0x1p-24F - 0.5F;
    return out;
  };
  const auto rows = numbers(kRows * kWidth), asked = numbers(kQueries * kWidth);
  Queries queries{asked.data(), kQueries, kWidth, CoarseQueries(kQueries, kWidth), FineRows(kQueries, kWidth)};
  for (int64_t i = 0; i < kQueries; ++i) {
    queries.coarse.set(i, asked.data() + i * kWidth, 0);
    queries.fine.set(i, asked.data() + i * kWidth);
  }
  const auto part = [&](int64_t first, int64_t count) {
    const float* from = rows.data() + first * kWidth;
    Bank bank{from, count, kWidth, CoarseBank(count, kWidth), FineRows(count, kWidth)};
    std::vector<int8_t> scratch(kWidth);
    for (int64_t i = 0; i < count; ++i) {
      bank.coarse.set(i, from + i * kWidth, 0, scratch.data());
      bank.fine.set(i, from + i * kWidth);
    }
    return bank;
  };
  std::vector<float> whole(kQueries), parted(kQueries), best(kQueries * kNearest);
  search(part(0, kRows), queries, 0, kQueries, kNearest, {nullptr, nullptr, whole.data()}, [] {});
  search(part(0, kFirst), queries, 0, kQueries, kNearest, {nullptr, best.data(), parted.data()}, [] {});
  search(part(kFirst, kRows - kFirst), queries, 0, kQueries, kNearest, {best.data(), best.data(), parted.data()}, [] {});
  for (int64_t i = 0; i < kQueries; ++i) {
    std::vector<float> all;
    for (int64_t r = 0; r < kRows; ++r)
      all.push_back(squared_distance(asked.data() + i * kWidth, rows.data() + r * kWidth, kWidth));
    std::sort(all.begin(), all.end());
    expect(whole[static_cast<size_t>(i)] == all[kNearest - 1], "neighbours of query " + std::to_string(i));
    expect(parted[static_cast<size_t>(i)] == all[kNearest - 1], "neighbours in parts of query " + std::to_string(i));
  }
}

}  // namespace

void test_neighbours() {
  same_neighbours_on_any_machine();
  all_neighbours();
}
