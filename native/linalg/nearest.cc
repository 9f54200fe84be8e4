#include "linalg/nearest.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace mode_ensemble {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int64_t kSeen = -1;  // the row of a candidate of which the exact distance is known

struct Candidate {
  float low = 0, high = 0;  // bounds of the distance
  float squared = 0;        // where row is kSeen
  int64_t row = kSeen;
};

// The rows that may be among the k nearest of one query.
//
// No neighbour is missed. A row is left out only where a lower bound of its distance is above `reach`, which
// never grows; and in the end k rows have an upper bound within reach, so that the k-th nearest is within it
// too. Reach is either the k-th smallest upper bound so far, for which that is so, or guessed from the rows
// so far, and then proved() says whether it came true. Each bound allows for rounding, and `loose` for that
// of the exact distances, so that what is left out would not have been among the k smallest of those either:
// the result is that of computing all of them.
class Nearest {
 public:
  void begin(const Bank& bank, const float* query, int64_t k, const float* known) {
    bank_ = &bank;
    query_ = query;
    k_ = static_cast<size_t>(k);
    loose_ = 2 * rounding(bank.width);
    capacity_ = 2 * k_ + 16;
    // Of candidates that bounds do not tell apart more than this are not kept: memory stays bounded whatever
    // the bank.
    most_ = 8 * k_ + 4096;
    reach_ = kInfinity;
    candidates_.clear();
    if (known == nullptr) return;
    for (size_t i = 0; i < k_; ++i)
      if (known[i] < kInfinity) candidates_.push_back(seen(known[i]));
    settle();
  }

  float reach() const { return reach_; }
  int64_t exact() const { return exact_; }

  void add(float low, float high, int64_t row) {
    candidates_.push_back({low, high, 0, row});
    if (candidates_.size() < capacity_) return;
    settle();
    while (candidates_.size() > capacity_ / 4 * 3 && capacity_ < most_) capacity_ *= 2;
    if (candidates_.size() > capacity_ / 4 * 3) keep_nearest();
  }

  // Where `share` of all rows were seen, in an order that has nothing to do with where they lie, about k ·
  // share of the k nearest were among them (a Poisson number): more than four deviations above that are
  // hardly ever.
  void guess(double share) {
    const double mean = static_cast<double>(k_) * share;
    const auto n = static_cast<size_t>(std::ceil(mean + 4 * std::sqrt(mean) + 2));
    if (n < k_ && n <= candidates_.size()) reach_ = std::min(reach_, nth(n, lower_high).high);
  }

  bool proved() const {
    const auto within = std::count_if(candidates_.begin(), candidates_.end(),
                                      [&](const Candidate& c) { return c.high <= reach_; });
    return reach_ == kInfinity || within >= static_cast<int64_t>(k_);
  }

  // The k smallest squared distances.
  void end(float* best) {
    keep_nearest();
    for (size_t i = 0; i < k_; ++i) best[i] = i < candidates_.size() ? candidates_[i].squared : kInfinity;
  }

  // The largest of them alone. Where the k-th smallest lower bound is above a row's upper bound, that row is
  // one of the nearer ones, whatever its distance: it need only be counted.
  float kth() {
    settle();
    size_t wanted = k_;
    if (candidates_.size() >= k_) {
      const float bound = nth(k_, [](const Candidate& a, const Candidate& b) { return a.low < b.low; }).low;
      wanted -= std::erase_if(candidates_, [&](const Candidate& c) { return c.high * (1 + loose_) < bound; });
    }
    compute();
    if (candidates_.size() < wanted) return kInfinity;
    return nth(wanted, nearer).squared;
  }

 private:
  Candidate seen(float squared) const {
    const float distance = std::sqrt(squared);
    return {distance * (1 - loose_), distance * (1 + loose_), squared, kSeen};
  }

  static bool lower_high(const Candidate& a, const Candidate& b) { return a.high < b.high; }
  static bool nearer(const Candidate& a, const Candidate& b) { return a.squared < b.squared; }

  // The n-th smallest, from 1; smaller ones then stand before it, larger ones behind it.
  template <class Less>
  const Candidate& nth(size_t n, Less less) {
    const auto place = candidates_.begin() + static_cast<int64_t>(n - 1);
    std::nth_element(candidates_.begin(), place, candidates_.end(), less);
    return *place;
  }

  // Brings `reach` up to date and leaves out what is beyond it.
  void settle() {
    if (candidates_.size() < k_) return;
    reach_ = std::min(reach_, nth(k_, lower_high).high);
    std::erase_if(candidates_, [&](const Candidate& c) { return c.low > reach_; });
  }

  void compute() {
    for (Candidate& candidate : candidates_) {
      if (candidate.row == kSeen) continue;
      ++exact_;
      candidate = seen(squared_distance(query_, bank_->rows + candidate.row * bank_->width, bank_->width));
    }
  }

  void keep_nearest() {
    settle();
    compute();
    if (candidates_.size() < k_) return;
    reach_ = std::min(reach_, nth(k_, nearer).high);
    candidates_.resize(k_);
  }

  const Bank* bank_ = nullptr;
  const float* query_ = nullptr;
  size_t k_ = 0, capacity_ = 0, most_ = 0;
  float loose_ = 0, reach_ = kInfinity;
  int64_t exact_ = 0;
  std::vector<Candidate> candidates_;
};

// What the first comparison needs of kGroup queries, one array a number, so that the compiler may use
// vectors.
struct GroupLimits {
  float half[kGroup] = {}, error[kGroup] = {}, size[kGroup] = {}, dot[kGroup] = {}, within[kGroup] = {};

  void set(int i, const CodeFacts& facts, float reach) {
    half[i] = facts.half;
    error[i] = facts.error;
    size[i] = facts.norm + facts.error;
    dot[i] = facts.half + facts.slack - reach * reach / 2;
    within[i] = reach + facts.error;
  }

  // Nothing is near enough.
  void close(int i) { dot[i] = half[i] = kInfinity, within[i] = 0; }

  // With q = q̂ + u and x = x̂ + v, of which q̂·x̂ is computed and ‖u‖ and ‖v‖ are known, ‖q − x‖ ≤ reach needs
  //   q̂·x̂ ≥ ½‖q‖² + ½‖x‖² − ½ reach² − ‖q̂‖‖v‖ − ‖u‖‖x‖        (from q·x = q̂·x̂ + q̂·v + u·x) and
  //   q̂·x̂ ≥ ½‖q̂‖² + ½‖x̂‖² − ½ (reach + ‖u‖ + ‖v‖)²             (from ‖q̂ − x̂‖ ≤ ‖q − x‖ + ‖u‖ + ‖v‖).
  // The first is the sharper one for far neighbours, the second for near ones. ½‖x̂‖² is on the other side.
  void least(const CoarseBank::Bounds& panel, float round, float* out) const {
    for (int i = 0; i < kGroup; ++i) {
      const float first = dot[i] + panel.slack - size[i] * panel.error - error[i] * panel.norm;
      const float radius = within[i] + panel.error;
      const float second = half[i] - radius * radius / 2;
      const float sum = size[i] + panel.norm;
      out[i] = (first > second ? first : second) - round * sum * sum;
    }
  }
};

// One turn over the bank for a block of queries.
class Scan {
 public:
  Scan(const Bank& bank, const Queries& queries, int64_t first, int64_t count, int64_t k,
       const SearchState& state)
      : bank_(bank), queries_(queries), first_(first), count_(count), k_(k), state_(state) {
    nearest_.resize(static_cast<size_t>(count));
    limits_.resize(static_cast<size_t>((count + kGroup - 1) / kGroup));
    open_.resize(static_cast<size_t>(count), true);
  }

  SearchCounts run(const std::function<void()>& tick) {
    // Rows that are known tell more than a guess.
    go(state_.known == nullptr, tick);
    bool all = true;
    for (int64_t i = 0; i < count_; ++i) all &= !(open_[at(i)] = !nearest_[at(i)].proved());
    if (!all) go(false, tick);
    for (int64_t i = 0; i < count_; ++i) {
      if (state_.best != nullptr) nearest_[at(i)].end(state_.best + (first_ + i) * k_);
      state_.kth[first_ + i] = nearest_[at(i)].kth();
      counts_.exact += nearest_[at(i)].exact();
    }
    return counts_;
  }

 private:
  static size_t at(int64_t i) { return static_cast<size_t>(i); }

  void limit(int64_t i) {
    limits_[at(i / kGroup)].set(static_cast<int>(i % kGroup), queries_.coarse.facts(first_ + i),
                                nearest_[at(i)].reach());
  }

  void go(bool guess, const std::function<void()>& tick) {
    constexpr int64_t kTick = 256;  // panels
    for (int64_t i = 0; i < count_; ++i) {
      if (!open_[at(i)]) {
        limits_[at(i / kGroup)].close(static_cast<int>(i % kGroup));
        continue;
      }
      nearest_[at(i)].begin(bank_, queries_.rows + (first_ + i) * queries_.width, k_,
                            state_.known == nullptr ? nullptr : state_.known + (first_ + i) * k_);
      limit(i);
    }
    const int64_t panels = bank_.coarse.panels();
    int64_t next_guess = guess ? 1 : panels;
    for (int64_t p = 0; p < panels; ++p) {
      if (p % kTick == 0) tick();
      if (p == next_guess) {
        for (int64_t i = 0; i < count_; ++i) {
          nearest_[at(i)].guess(static_cast<double>(p) / static_cast<double>(panels));
          limit(i);
        }
        next_guess *= 2;
      }
      for (int64_t g = 0; g < static_cast<int64_t>(limits_.size()); ++g) compare(p, g);
    }
  }

  // A panel of rows with a group of queries.
  void compare(int64_t p, int64_t g) {
    float least[kGroup];
    uint32_t marks[kGroup];
    limits_[at(g)].least(bank_.coarse.bounds(p), round_, least);
    kernels_.mark(queries_.coarse.group(first_ + g * kGroup), bank_.coarse.panel(p), queries_.coarse.quads(),
                  least, marks);
    const uint32_t there = bank_.coarse.rows_of(p);
    const auto in_group = static_cast<int32_t>(std::min<int64_t>(kGroup, count_ - g * kGroup));
    // The products of the pairs that passed are taken together, without a branch between them that could be
    // guessed wrongly, so that the processor fetches the next pair's codes while it multiplies.
    struct {
      int32_t query, row, product;
    } pairs[kGroup * kPanel];
    int passed = 0;
    for (int32_t j = 0; j < in_group; ++j)
      for (uint32_t marked = marks[j] & there; marked != 0; marked &= marked - 1)
        pairs[passed++] = {j, std::countr_zero(marked), 0};
    for (int n = 0; n < passed; ++n)
      pairs[n].product = kernels_.dot(queries_.fine.codes(first_ + g * kGroup + pairs[n].query),
                                      bank_.fine.codes(p * kPanel + pairs[n].row), bank_.fine.stride());
    counts_.fine += passed;
    for (int n = 0; n < passed; ++n) {
      const int64_t i = g * kGroup + pairs[n].query, row = p * kPanel + pairs[n].row;
      Nearest& mine = nearest_[at(i)];
      const FineRows::Facts &q = queries_.fine.facts(first_ + i), &x = bank_.fine.facts(row);
      const double square =
          q.square + x.square -
          2 * static_cast<double>(q.scale) * static_cast<double>(x.scale) * pairs[n].product;
      const double error = static_cast<double>(q.error) + static_cast<double>(x.error);
      const double reach = static_cast<double>(mine.reach()), far = reach + error;
      if (square > far * far) continue;
      const double distance = std::sqrt(std::max(0.0, square));
      // Outwards by more than the rounding to float32.
      mine.add(static_cast<float>((distance - error) * (1 - 0x1p-22)),
               static_cast<float>((distance + error) * (1 + 0x1p-22)), row);
      if (static_cast<double>(mine.reach()) < reach) limit(i);
    }
  }

  const Bank& bank_;
  const Queries& queries_;
  const int64_t first_, count_, k_;
  const SearchState state_;
  const NearKernels& kernels_ = near_kernels();
  const float round_ = 2 * rounding(queries_.coarse.width());
  std::vector<Nearest> nearest_;
  std::vector<GroupLimits> limits_;
  std::vector<bool> open_;
  SearchCounts counts_;
};

}  // namespace

float squared_distance(const float* a, const float* b, int64_t n) {
  constexpr int64_t kLanes = 16;
  float sums[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      const float difference = a[i + lane] - b[i + lane];
      sums[lane] += difference * difference;
    }
  for (int64_t lane = 0; i < n; ++i, ++lane) sums[lane] += (a[i] - b[i]) * (a[i] - b[i]);
  for (int64_t half = kLanes / 2; half > 0; half /= 2)
    for (int64_t lane = 0; lane < half; ++lane) sums[lane] += sums[lane + half];
  return sums[0];
}

int64_t search_block(int64_t queries, int64_t width, int64_t threads) {
  const int64_t cached = std::clamp<int64_t>((int64_t{1} << 18) / width, 4 * kGroup, 40 * kGroup);
  const int64_t shared = (queries + threads - 1) / threads;
  return (std::max<int64_t>(1, std::min(cached, shared)) + kGroup - 1) / kGroup * kGroup;
}

int64_t count_marked(const CoarseBank& bank, const CoarseQueries& queries, int64_t count,
                     const float* reach) {
  const NearKernels& kernels = near_kernels();
  int64_t marked = 0;
  for (int64_t first = 0; first < count; first += kGroup) {
    GroupLimits limits;
    for (int i = 0; i < kGroup; ++i) {
      if (first + i < count)
        limits.set(i, queries.facts(first + i), reach[first + i]);
      else
        limits.close(i);
    }
    for (int64_t p = 0; p < bank.panels(); ++p) {
      float least[kGroup];
      uint32_t marks[kGroup];
      limits.least(bank.bounds(p), 2 * rounding(queries.width()), least);
      kernels.mark(queries.group(first), bank.panel(p), queries.quads(), least, marks);
      for (const uint32_t bits : marks) marked += std::popcount(bits & bank.rows_of(p));
    }
  }
  return marked;
}

SearchCounts search(const Bank& bank, const Queries& queries, int64_t first, int64_t count, int64_t k,
                    const SearchState& state, const std::function<void()>& tick) {
  return Scan(bank, queries, first, count, k, state).run(tick);
}

}  // namespace mode_ensemble
