#include "data/builtin_draw.h"

#include <algorithm>
#include <cmath>

namespace mode_ensemble {
namespace {

constexpr int kLines = 4;  // lines sampled in each row of pixels; along a line coverage is exact

}  // namespace

Point random_direction(SceneRandom& random) {
  for (;;) {
    const double x = random.around(1), y = random.around(1);
    const double square = x * x + y * y;
    if (square > 1 || square < 0.01) continue;  // outside the circle directions would not be alike
    const double length = std::sqrt(square);
    return {x / length, y / length};
  }
}

Outline placed(const Outline& outline, const Pose& pose) {
  Outline result = outline;
  for (Contour& contour : result) {
    for (Point& point : contour) point = pose.place(point);
  }
  return result;
}

void Coverage::add(const Outline& outline) {
  double top = kBuiltinSide, bottom = 0;
  for (const Contour& contour : outline) {
    for (const Point& p : contour) top = std::min(top, p.y), bottom = std::max(bottom, p.y);
  }
  const int first_line = std::max(0, static_cast<int>(std::floor(top * kLines)));
  const int last_line = std::min(kBuiltinSide * kLines - 1, static_cast<int>(std::floor(bottom * kLines)));
  if (last_line < first_line) return;
  const int begin_pixel = first_line / kLines * kBuiltinSide;
  const int end_pixel = (last_line / kLines + 1) * kBuiltinSide;
  first = std::min(first, begin_pixel);
  end = std::max(end, end_pixel);
  double crossings[64];
  for (int line = first_line; line <= last_line; ++line) {
    const double y = (line + 0.5) / kLines;
    int count = 0;
    for (const Contour& contour : outline) {
      for (size_t i = 0; i < contour.size(); ++i) {
        const Point a = contour[i], b = contour[i + 1 < contour.size() ? i + 1 : 0];
        if ((a.y <= y) == (b.y <= y) || count == 64) continue;
        crossings[count++] = a.x + (b.x - a.x) * ((y - a.y) / (b.y - a.y));
      }
    }
    std::sort(crossings, crossings + count);
    double* row = at + line / kLines * kBuiltinSide;
    for (int i = 0; i + 1 < count; i += 2) {
      const double left = std::max(crossings[i], 0.0);
      const double right = std::min(crossings[i + 1], static_cast<double>(kBuiltinSide));
      for (int x = static_cast<int>(left); x < right; ++x) {
        row[x] += (std::min(right, x + 1.0) - std::max(left, static_cast<double>(x))) / kLines;
      }
    }
  }
  for (int i = begin_pixel; i < end_pixel; ++i) at[i] = std::min(at[i], 1.0);
}

Outline bar(Point a, Point b, double width) {
  const Point along = b - a;
  const double length = std::sqrt(along.x * along.x + along.y * along.y);
  if (length == 0) return {};
  const Point side = Point{-along.y, along.x} * (width / 2 / length);
  return {{a + side, b + side, b - side, a - side}};
}

void Canvas::paint(const Coverage& coverage, const Color& color, double opacity) {
  for (int i = coverage.first; i < coverage.end; ++i) {
    const double part = coverage.at[i] * opacity;
    if (part == 0) continue;
    for (int c = 0; c < 3; ++c) at[i].c[c] += (color.c[c] - at[i].c[c]) * part;
  }
}

}  // namespace mode_ensemble
