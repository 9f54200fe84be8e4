// Random numbers, outlines, and filling them, for the built-in data.
#pragma once
#include <cstdint>
#include <vector>

#include "data/builtin.h"

namespace mode_ensemble {

// SplitMix64 (Steele, Lea, Flood 2014): a stream for each (stream, index), far from each other's.
class SceneRandom {
 public:
  SceneRandom(uint64_t stream, uint64_t index) : state_(kSeed + stream * kGamma) {
    state_ = next() + index * kGamma;
    state_ = next();
  }
  uint64_t next() {
    uint64_t z = state_ += kGamma;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  double unit() { return static_cast<double>(next() >> 11) * 0x1p-53; }  // [0, 1)
  double between(double low, double high) { return low + (high - low) * unit(); }
  double between(const double (&range)[2]) { return between(range[0], range[1]); }
  double around(double reach) { return between(-reach, reach); }
  bool chance(double probability) { return unit() < probability; }
  int below(int count) { return static_cast<int>((next() >> 32) * static_cast<uint64_t>(count) >> 32); }
  int among(const int (&range)[2]) { return range[0] + below(range[1] - range[0] + 1); }

 private:
  // Changing it changes every built-in image, and with it every number measured on them.
  static constexpr uint64_t kSeed = 20240214;
  static constexpr uint64_t kGamma = 0x9e3779b97f4a7c15;
  uint64_t state_;
};

struct Point {
  double x = 0, y = 0;
};
inline Point operator+(Point a, Point b) { return {a.x + b.x, a.y + b.y}; }
inline Point operator-(Point a, Point b) { return {a.x - b.x, a.y - b.y}; }
inline Point operator*(Point a, double s) { return {a.x * s, a.y * s}; }

// Closed, with straight sides. A point is inside where a ray from it crosses an odd number of sides.
using Contour = std::vector<Point>;
using Outline = std::vector<Contour>;

// A direction, each as likely as another; of length 1.
Point random_direction(SceneRandom& random);

// `at` (in units of the radius) turned, mirrored, squeezed and moved.
struct Pose {
  Point x_axis{1, 0}, y_axis{0, 1}, center{16, 16};
  Point place(Point at) const { return center + x_axis * at.x + y_axis * at.y; }
};
Outline placed(const Outline& outline, const Pose& pose);

// How much of each pixel is inside, 0 to 1: [32, 32].
struct Coverage {
  double at[kBuiltinSide * kBuiltinSide] = {};
  int first = kBuiltinSide * kBuiltinSide, end = 0;  // the pixels outside [first, end) are at 0
  void add(const Outline& outline);
};

struct Color {
  double c[3] = {};
};

// A bar from a to b with square ends.
Outline bar(Point a, Point b, double width);

struct Canvas {
  Color at[kBuiltinSide * kBuiltinSide];
  void paint(const Coverage& coverage, const Color& color, double opacity);
};

}  // namespace mode_ensemble
