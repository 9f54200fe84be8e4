#include "data/builtin_shapes.h"

#include <array>
#include <cmath>

namespace mode_ensemble {
namespace {

constexpr int kCircle = 32;  // sides of what stands for a circle

// 32 points of the unit circle from (1, 0) on, by halving angles: libm's sine may differ from machine to
// machine.
const std::array<Point, kCircle>& circle() {
  static const std::array<Point, kCircle> points = [] {
    std::array<Point, kCircle> p;
    p[0] = {1, 0}, p[8] = {0, 1}, p[16] = {-1, 0}, p[24] = {0, -1};
    for (int step = 8; step > 1; step /= 2) {
      for (int i = 0; i < kCircle; i += step) {
        const Point middle = p[i] + p[(i + step) % kCircle];
        p[i + step / 2] = middle * (1 / std::sqrt(middle.x * middle.x + middle.y * middle.y));
      }
    }
    return p;
  }();
  return points;
}

// From point `first` to point `last` of the circle, either way round.
void add_arc(Contour& contour, int first, int last, Point center, double x_radius, double y_radius) {
  const int step = last >= first ? 1 : -1;
  for (int i = first; i != last + step; i += step) {
    const Point& p = circle()[((i % kCircle) + kCircle) % kCircle];
    contour.push_back({center.x + p.x * x_radius, center.y + p.y * y_radius});
  }
}

Contour ellipse(double x_radius, double y_radius) {
  Contour contour;
  add_arc(contour, 0, kCircle - 1, {0, 0}, x_radius, y_radius);
  return contour;
}

Contour box(double x, double y) { return {{-x, -y}, {x, -y}, {x, y}, {-x, y}}; }

// Every other point at `inner`: cos and sin of multiples of 36 degrees, by roots.
Outline star(double inner) {
  const double r5 = std::sqrt(5.0);
  const double c36 = (1 + r5) / 4, s36 = std::sqrt(10 - 2 * r5) / 4;
  Contour contour;
  Point p{0, -1};
  for (int i = 0; i < 10; ++i) {
    contour.push_back(p * (i % 2 ? inner : 1));
    p = {p.x * c36 - p.y * s36, p.x * s36 + p.y * c36};
  }
  return {contour};
}

Outline triangle(SceneRandom& random) {
  const double top = random.between(0.85, 1.0), wide = random.between(0.7, 0.9);
  return {{{random.around(0.25), -top}, {wide, 0.6}, {-wide, 0.6}}};
}

Outline cross(double half) {
  return {{{-half, -1},
           {half, -1},
           {half, -half},
           {1, -half},
           {1, half},
           {half, half},
           {half, 1},
           {-half, 1},
           {-half, half},
           {-1, half},
           {-1, -half},
           {-half, -half}}};
}

Outline crescent(SceneRandom& random) {
  // Outside a half circle and a bit, inside a flatter arc back to its ends.
  const double depth = random.between(0.25, 0.6);
  Contour contour;
  add_arc(contour, -10, 10, {-0.3, 0}, 1.0, 1.0);
  const Point end = contour.back(), begin = contour.front();
  const double middle = (end.y + begin.y) / 2, half = (end.y - begin.y) / 2;
  add_arc(contour, 7, -7, {end.x, middle}, depth + 0.2, half);
  return {contour};
}

Outline heart(SceneRandom& random) {
  const double lobe = random.between(0.46, 0.54), high = random.between(0.2, 0.4);
  Contour contour;
  add_arc(contour, 16, 34, {lobe * 0.95, -high}, lobe, lobe);
  contour.push_back({0, random.between(0.8, 1.0)});
  const size_t half = contour.size() - 1;
  for (size_t i = 0; i < half; ++i) {
    const Point& p = contour[half - 1 - i];
    contour.push_back({-p.x, p.y});
  }
  return {contour};
}

Outline arrow(SceneRandom& random) {
  const double shaft = random.between(0.14, 0.26), head = random.between(0.55, 0.8),
               neck = random.between(-0.3, 0.1);
  return {{{0, -1}, {head, neck}, {shaft, neck}, {shaft, 1}, {-shaft, 1}, {-shaft, neck}, {-head, neck}}};
}

Outline hourglass(SceneRandom& random) {
  const double wide = random.between(0.55, 0.8), waist = random.between(0.04, 0.18);
  return {{{-wide, -0.85}, {wide, -0.85}, {waist, 0}, {wide, 0.85}, {-wide, 0.85}, {-waist, 0}}};
}

}  // namespace

const char* const kShapeNames[kShapeClasses] = {"disc",  "ring",     "triangle", "square", "star",
                                                "cross", "crescent", "heart",    "arrow",  "hourglass"};

Outline shape_outline(int label, SceneRandom& random) {
  switch (label) {
    case 0:
      return {ellipse(1, random.between(0.85, 1.0))};
    case 1: {
      const double hole = random.between(0.45, 0.68);
      return {ellipse(1, 1), ellipse(hole, hole)};
    }
    case 2:
      return triangle(random);
    case 3:
      return {box(0.76, random.between(0.62, 0.76))};
    case 4:
      return star(random.between(0.36, 0.5));
    case 5:
      return cross(random.between(0.18, 0.33));
    case 6:
      return crescent(random);
    case 7:
      return heart(random);
    case 8:
      return arrow(random);
    default:
      return hourglass(random);
  }
}

Outline unseen_outline(SceneRandom& random) {
  const double a = random.between(0.2, 0.3), b = random.between(0.75, 0.9);
  Contour contour;
  switch (random.below(8)) {
    case 0:  // half disc
      add_arc(contour, 0, 16, {0, -0.4}, 1, b + 0.1);
      return {contour};
    case 1:  // frame
      return {box(0.76, 0.76), box(0.76 - a, 0.76 - a)};
    case 2:  // angle
      return {{{-b, -b}, {-b + 2 * a, -b}, {-b + 2 * a, b - 2 * a}, {b, b - 2 * a}, {b, b}, {-b, b}}};
    case 3:  // T
      return {{{-b, -0.8},
               {b, -0.8},
               {b, -0.8 + 2 * a},
               {a, -0.8 + 2 * a},
               {a, 0.9},
               {-a, 0.9},
               {-a, -0.8 + 2 * a},
               {-b, -0.8 + 2 * a}}};
    case 4:  // star of four points
      return {{{0, -1}, {a, -a}, {1, 0}, {a, a}, {0, 1}, {-a, a}, {-1, 0}, {-a, -a}}};
    case 5:  // drop
      add_arc(contour, -4, 20, {0, 0.35}, 0.62, 0.62);
      contour.push_back({0, -1});
      return {contour};
    case 6:  // zigzag
      return {{{-0.6, -0.9}, {0.7, -0.9}, {0.15, -0.2}, {0.7, -0.2}, {-0.3, 1.0}, {0.0, 0.1}, {-0.6, 0.1}}};
    default:  // two bars
      return {{{-b, -0.75}, {b, -0.75}, {b, -0.75 + 2 * a}, {-b, -0.75 + 2 * a}},
              {{-b, 0.75 - 2 * a}, {b, 0.75 - 2 * a}, {b, 0.75}, {-b, 0.75}}};
  }
}

}  // namespace mode_ensemble
