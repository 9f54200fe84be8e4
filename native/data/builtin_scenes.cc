#include <algorithm>
#include <cmath>

#include "data/builtin_draw.h"
#include "data/builtin_shapes.h"

namespace mode_ensemble {
namespace {

constexpr int kSide = kBuiltinSide;
constexpr int kPixels = kSide * kSide;
constexpr const BuiltinTuning& kT = kTuning;

// A colour lighter than another by `contrast`, or darker where that is negative; of any hue.
Color contrasting(const Color& with, double contrast, SceneRandom& random) {
  Color color;
  for (int c = 0; c < 3; ++c) {
    color.c[c] = std::clamp(with.c[c] + contrast + random.around(kT.hue), 0.0, 255.0);
  }
  return color;
}

// The contrast of what is no object.
double scrap_contrast(SceneRandom& random) {
  const double contrast = random.between(kT.contrast);
  return random.chance(kT.lighter_chance) ? contrast : -contrast;
}

// How far along a direction a pixel lies: -0.5 to 0.5 over the image, more in its corners.
double along(int pixel, const Point& direction) {
  const double x = (pixel % kSide + 0.5) / kSide - 0.5, y = (pixel / kSide + 0.5) / kSide - 0.5;
  return x * direction.x + y * direction.y;
}

// Smooth noise in [-1, 1]: random heights on a coarse grid, in between by smoothstep.
class Clouds {
 public:
  Clouds(int cells, SceneRandom& random) : cells_(cells), heights_((cells + 1) * (cells + 1)) {
    for (double& height : heights_) height = random.around(1);
  }
  double at(int pixel) const {
    const double x = (pixel % kSide + 0.5) / kSide * cells_, y = (pixel / kSide + 0.5) / kSide * cells_;
    const int cx = static_cast<int>(x), cy = static_cast<int>(y);
    const double fx = smooth(x - cx), fy = smooth(y - cy);
    const double* row = heights_.data() + cy * (cells_ + 1) + cx;
    const double upper = row[0] + (row[1] - row[0]) * fx;
    const double lower = row[cells_ + 1] + (row[cells_ + 2] - row[cells_ + 1]) * fx;
    return upper + (lower - upper) * fy;
  }

 private:
  static double smooth(double t) { return t * t * (3 - 2 * t); }
  int cells_;
  std::vector<double> heights_;  // [cells + 1, cells + 1]
};

void paint_background(Canvas& canvas, SceneRandom& random) {
  Color base;
  for (double& c : base.c) c = random.between(kT.background);
  Color slope;
  for (double& c : slope.c) c = random.around(kT.gradient);
  const Point direction = random_direction(random);
  const double amplitude = random.between(kT.clouds);
  const Clouds clouds(2 + random.below(5), random);
  Color tint;
  for (double& c : tint.c) c = random.around(1);
  for (int i = 0; i < kPixels; ++i) {
    const double t = along(i, direction), cloud = clouds.at(i) * amplitude;
    for (int c = 0; c < 3; ++c) {
      canvas.at[i].c[c] = std::clamp(base.c[c] + slope.c[c] * t + cloud * tint.c[c], 0.0, 255.0);
    }
  }
}

Point random_place(SceneRandom& random) {
  const double x = random.between(0, kSide);
  return {x, random.between(0, kSide)};
}

void paint_distractors(Canvas& canvas, SceneRandom& random) {
  const int count = random.among(kT.distractors);
  for (int n = 0; n < count; ++n) {
    const Point center = random_place(random);
    const Point x_axis = random_direction(random) * random.between(kT.distractor_radius);
    const Point y_axis = Point{-x_axis.y, x_axis.x} * random.between(0.5, 1.0);
    Outline outline;
    switch (random.below(3)) {
      case 0:
        outline = {{{0, -1}, {0.9, 0.8}, {-0.9, 0.8}}};
        break;
      case 1:
        outline = {{{-0.8, -0.8}, {0.8, -0.8}, {0.8, 0.8}, {-0.8, 0.8}}};
        break;
      default:
        outline = {{{-1.8, -0.3}, {1.8, -0.3}, {1.8, 0.3}, {-1.8, 0.3}}};
    }
    Coverage coverage;
    coverage.add(placed(outline, {x_axis, y_axis, center}));
    const int pixel = static_cast<int>(center.y) * kSide + static_cast<int>(center.x);
    const Color color = contrasting(canvas.at[pixel], scrap_contrast(random), random);
    canvas.paint(coverage, color, random.between(kT.opacity));
  }
}

Pose random_pose(SceneRandom& random) {
  Pose pose;
  const double radius = random.between(kT.radius);
  Point direction{1, random.around(kT.turn)};
  direction = direction * (1 / std::sqrt(1 + direction.y * direction.y));
  const Point turn = random_direction(random);
  const double squeeze = random.between(kT.squeeze);
  // Turned to the squeezed direction, squeezed, turned back, then turned as a whole.
  const auto place = [&](double x, double y) {
    const Point turned{x * turn.x - y * turn.y, (x * turn.y + y * turn.x) * squeeze};
    const Point back{turned.x * turn.x + turned.y * turn.y, turned.y * turn.x - turned.x * turn.y};
    return Point{back.x * direction.x - back.y * direction.y, back.x * direction.y + back.y * direction.x} *
           radius;
  };
  pose.x_axis = place(1, 0);
  pose.y_axis = place(0, 1);
  pose.center = {kSide / 2.0 + random.around(kT.offset), 0};
  pose.center.y = kSide / 2.0 + random.around(kT.offset);
  return pose;
}

void wobble(Outline& outline, SceneRandom& random) {
  // Corners only: on the many points of a curve it would look like fur.
  for (Contour& contour : outline) {
    if (contour.size() > 14) continue;
    for (Point& point : contour) {
      point.x += random.around(kT.wobble);
      point.y += random.around(kT.wobble);
    }
  }
}

// What lies behind a shape, on the whole.
Color mean_under(const Canvas& canvas, const Coverage& coverage) {
  Color mean;
  double sum = 0;
  for (int i = coverage.first; i < coverage.end; ++i) {
    sum += coverage.at[i];
    for (int c = 0; c < 3; ++c) mean.c[c] += canvas.at[i].c[c] * coverage.at[i];
  }
  if (sum == 0) return canvas.at[kPixels / 2 + kSide / 2];
  for (double& c : mean.c) c = std::clamp(c / sum, 0.0, 255.0);
  return mean;
}

void paint_object(Canvas& canvas, const Coverage& coverage, double opacity, SceneRandom& random) {
  const Color color = contrasting(mean_under(canvas, coverage), random.between(kT.contrast), random);
  const double shading = random.between(0, kT.shading);
  const Point light = random_direction(random);
  const bool pattern = random.chance(kT.pattern_chance);
  const Point across = random_direction(random);
  const double period = random.between(2.5, 5.0), depth = random.between(10, 40);
  for (int i = coverage.first; i < coverage.end; ++i) {
    const double part = coverage.at[i] * opacity;
    if (part == 0) continue;
    double change = shading * along(i, light) * 2;
    if (pattern) {
      const double phase = along(i, across) * kSide / period + 64;
      change += phase - std::floor(phase) < 0.5 ? depth : -depth;
    }
    for (int c = 0; c < 3; ++c) {
      const double value = std::clamp(color.c[c] + change, 0.0, 255.0);
      canvas.at[i].c[c] += (value - canvas.at[i].c[c]) * part;
    }
  }
}

void paint_occluder(Canvas& canvas, Point center, SceneRandom& random) {
  const Point direction = random_direction(random) * (1.5 * kSide);
  const Point through = center + random_direction(random) * random.between(0, 6);
  Coverage coverage;
  coverage.add(bar(through - direction, through + direction, random.between(kT.occluder_width)));
  const Color color = contrasting(mean_under(canvas, coverage), scrap_contrast(random), random);
  canvas.paint(coverage, color, random.between(kT.opacity));
}

void finish(Canvas& canvas, SceneRandom& random, uint8_t* pixels) {
  if (random.chance(kT.blur_chance)) {
    const Canvas sharp = canvas;  // [1 2 1] / 4 both ways
    const auto near = [](int i) { return std::clamp(i, 0, kSide - 1); };
    for (int i = 0; i < kPixels; ++i) {
      const int x = i % kSide, y = i / kSide;
      for (int c = 0; c < 3; ++c) {
        double sum = 0;
        for (int dy = -1; dy <= 1; ++dy) {
          for (int dx = -1; dx <= 1; ++dx) {
            sum +=
                sharp.at[near(y + dy) * kSide + near(x + dx)].c[c] * (2 - std::abs(dx)) * (2 - std::abs(dy));
          }
        }
        canvas.at[i].c[c] = sum / 16;
      }
    }
  }
  const double noise = random.between(kT.noise);
  for (int i = 0; i < kPixels; ++i) {
    for (int c = 0; c < 3; ++c) {
      // Two uniform numbers in one draw, added: a triangle, rarely far out.
      const uint64_t bits = random.next();
      const double error = noise * (static_cast<double>((bits >> 32) + (bits & 0xffffffff)) * 0x1p-31 - 2);
      *pixels++ = static_cast<uint8_t>(std::clamp(canvas.at[i].c[c] + error, 0.0, 255.0) + 0.5);
    }
  }
}

Coverage object_coverage(Outline outline, const Pose& pose, SceneRandom& random) {
  wobble(outline, random);
  Coverage coverage;
  coverage.add(placed(outline, pose));
  return coverage;
}

// One object made of two: their outlines joined, or one seen through the other.
void paint_blend(Canvas& canvas, const Pose& pose, SceneRandom& random) {
  const int first = random.below(kShapeClasses);
  const int second = (first + 1 + random.below(kShapeClasses - 1)) % kShapeClasses;
  Coverage a = object_coverage(shape_outline(first, random), pose, random);
  Pose other = random_pose(random);
  other.center = pose.center + random_direction(random) * random.between(0, 3);
  const Coverage b = object_coverage(shape_outline(second, random), other, random);
  const double opacity = random.between(kT.opacity);
  if (random.chance(kT.blend_overlay)) {
    paint_object(canvas, a, opacity, random);
    paint_object(canvas, b, 0.55 * opacity, random);
    return;
  }
  for (int i = b.first; i < b.end; ++i) a.at[i] = std::max(a.at[i], b.at[i]);
  a.first = std::min(a.first, b.first);
  a.end = std::max(a.end, b.end);
  paint_object(canvas, a, opacity, random);
}

void paint_strokes(Canvas& canvas, SceneRandom& random) {
  const int count = random.among(kT.strokes);
  for (int n = 0; n < count; ++n) {
    Point p[3];  // a quadratic Bezier curve
    for (Point& point : p) point = random_place(random);
    const double width = random.between(kT.stroke_width);
    Coverage coverage;
    constexpr int kSteps = 12;
    Point from = p[0];
    for (int s = 1; s <= kSteps; ++s) {
      const double t = static_cast<double>(s) / kSteps, u = 1 - t;
      const Point to = p[0] * (u * u) + p[1] * (2 * u * t) + p[2] * (t * t);
      coverage.add(bar(from, to, width));
      from = to;
    }
    paint_object(canvas, coverage, random.between(kT.opacity), random);
  }
}

// The background covered by a regular or random pattern, in a colour as far from it as an object's.
void paint_texture(Canvas& canvas, SceneRandom& random) {
  const int kind = random.below(4);
  const Point x_axis = random_direction(random), y_axis{-x_axis.y, x_axis.x};
  const double period = random.between(4, 14), share = random.between(0.3, 0.7);
  const double jitter = random.between(0, 0.2);
  const Clouds warp(4, random), field(5 + random.below(8), random);
  Coverage coverage;
  coverage.first = 0;
  coverage.end = kPixels;
  for (int i = 0; i < kPixels; ++i) {
    const double bend = warp.at(i) * jitter * period + 64 * period;
    const bool patch = kind == 3 && field.at(i) > share - 0.5;
    double part = 0;
    for (int sub = 0; sub < 4; ++sub) {  // 2 x 2 samples a pixel
      const Point shift{(sub % 2 - 0.5) / 2, (sub / 2 - 0.5) / 2};
      const double x = along(i, x_axis) * kSide + shift.x * x_axis.x + shift.y * x_axis.y + bend;
      const double y = along(i, y_axis) * kSide + shift.x * y_axis.x + shift.y * y_axis.y + bend;
      const double u = x / period - std::floor(x / period), v = y / period - std::floor(y / period);
      bool inside = false;
      if (kind == 0) inside = u < share;                                                     // stripes
      if (kind == 1) inside = (u < 0.5) != (v < 0.5);                                        // checks
      if (kind == 2) inside = (u - 0.5) * (u - 0.5) + (v - 0.5) * (v - 0.5) < 0.22 * share;  // dots
      if (kind == 3) inside = patch;                                                         // patches
      part += inside ? 0.25 : 0;
    }
    coverage.at[i] = part;
  }
  paint_object(canvas, coverage, random.between(kT.opacity), random);
}

}  // namespace

void draw_scene(Scene scene, uint64_t stream, int64_t index, int label, uint8_t* pixels) {
  SceneRandom random(stream, static_cast<uint64_t>(index));
  Canvas canvas;
  paint_background(canvas, random);
  paint_distractors(canvas, random);
  const Pose pose = random_pose(random);
  switch (scene) {
    case Scene::shapes: {
      const Coverage coverage = object_coverage(shape_outline(label, random), pose, random);
      paint_object(canvas, coverage, random.between(kT.opacity), random);
      break;
    }
    case Scene::unseen: {
      const Coverage coverage = object_coverage(unseen_outline(random), pose, random);
      paint_object(canvas, coverage, random.between(kT.opacity), random);
      break;
    }
    case Scene::blends:
      paint_blend(canvas, pose, random);
      break;
    case Scene::textures:
      paint_texture(canvas, random);
      break;
    case Scene::strokes:
      paint_strokes(canvas, random);
      break;
  }
  if (random.chance(kT.occluder_chance)) paint_occluder(canvas, pose.center, random);
  finish(canvas, random, pixels);
}

}  // namespace mode_ensemble
