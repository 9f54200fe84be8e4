// The singular vectors of the largest singular value: each set of instructions against Jacobi's method.
#include "linalg/leading.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "expect.h"
#include "runtime/random.h"

namespace {

using namespace mode_ensemble;

// The eigenvectors of a symmetric matrix [n, n] in the columns of the second, the eigenvalues on the first's diagonal.
void jacobi(std::vector<double>& a, std::vector<double>& vectors, size_t n) {
  vectors.assign(n * n, 0);
  for (size_t i = 0; i < n; ++i) vectors[i * n + i] = 1;
  for (int sweep = 0; sweep < 30; ++sweep)
    for (size_t p = 0; p < n; ++p)
      for (size_t q = p + 1; q < n; ++q) {
        if (a[p * n + q] == 0) continue;
        const double angle = 0.5 * std::atan2(2 * a[p * n + q], a[q * n + q] - a[p * n + p]);
        const double c = std::cos(angle), s = std::sin(angle);
        const auto turn = [&](double& x, double& y) {
          const double old = x;
          x = c * old - s * y;
          y = s * old + c * y;
        };
        for (size_t k = 0; k < n; ++k) turn(a[k * n + p], a[k * n + q]);
        for (size_t k = 0; k < n; ++k) turn(a[p * n + k], a[q * n + k]);
        for (size_t k = 0; k < n; ++k) turn(vectors[k * n + p], vectors[k * n + q]);
      }
}

struct Matrix {
  size_t rows, columns;
  std::vector<float> values;
  std::vector<unsigned short> halves;  // the same in bfloat16

  LeadingRows as(bool half) const {
    const void* at = half ? static_cast<const void*>(halves.data()) : values.data();
    return {at, half, static_cast<int64_t>(rows), static_cast<int64_t>(columns)};
  }
};

// Values that bfloat16 holds, so that both types say the same.
Matrix matrix(size_t rows, size_t columns, const auto& value) {
  Matrix made{rows, columns, {}, {}};
  for (size_t i = 0; i < rows * columns; ++i) {
    const auto bits = std::bit_cast<uint32_t>(static_cast<float>(value(i / columns, i % columns)));
    made.halves.push_back(static_cast<unsigned short>(bits >> 16));
    made.values.push_back(std::bit_cast<float>(bits & 0xFFFF0000));
  }
  return made;
}

// The part of σ₁ [P, C], by Jacobi's method on XXᵀ.
std::vector<double> expected_part(const Matrix& x) {
  const size_t n = x.rows, c = x.columns;
  std::vector<double> gram(n * n), vectors, part(n * c), along(c);
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j)
      for (size_t k = 0; k < c; ++k) gram[i * n + j] += static_cast<double>(x.values[i * c + k]) * x.values[j * c + k];
  jacobi(gram, vectors, n);
  size_t first = 0;
  for (size_t i = 1; i < n; ++i)
    if (gram[i * n + i] > gram[first * n + first]) first = i;
  for (size_t i = 0; i < n; ++i)
    for (size_t k = 0; k < c; ++k) along[k] += vectors[i * n + first] * static_cast<double>(x.values[i * c + k]);
  for (size_t i = 0; i < n; ++i)
    for (size_t k = 0; k < c; ++k) part[i * c + k] = vectors[i * n + first] * along[k];
  return part;
}

void right_on_any_machine() {
  RandomStream random(5, "leading");
  const auto number = [&] { return static_cast<double>(random.next() >> 11) * 0x1p-53; };
  for (const size_t rows : {1, 2, 5, 16, 49})
    for (const size_t columns : {1, 7, 16, 35, 130})
      for (const double shift : {0.0, 0.5}) {
        // Of positive numbers one value stands out; of both signs it hardly does, and many of these may be left open.
        const auto x = matrix(rows, columns, [&](size_t, size_t) { return number() - shift; });
        const auto part = expected_part(x);
        for (const LeadingKernels* kernels : all_leading_kernels())
          for (const bool half : {false, true}) {
            const auto what = std::to_string(rows) + " x " + std::to_string(columns) + " " + kernels->name;
            LeadingVectors vectors(*kernels);
            const bool found = vectors.find(x.as(half));
            expect(found || (shift > 0 && std::min(rows, columns) > 40), what + ": found");
            if (!found) continue;
            std::vector<float> left(rows * columns);
            kernels->take_away(x.as(half), vectors.left().data(), vectors.right().data(), left.data());
            double error = 0, size = 0;
            for (size_t i = 0; i < left.size(); ++i) {
              const double difference = static_cast<double>(x.values[i]) - part[i] - static_cast<double>(left[i]);
              error += difference * difference;
              size += static_cast<double>(x.values[i]) * x.values[i];
            }
            expect(error <= 1e-14 * size, what + ": wrong by " + std::to_string(std::sqrt(error / size)));
          }
      }
}

// What is said of a diagonal matrix: 1 for found with u along its first row, 0 for not certain, -1 for anything else.
int of_diagonal(const LeadingKernels& kernels, const std::vector<double>& diagonal) {
  const size_t n = diagonal.size();
  const auto x = matrix(n, n, [&](size_t i, size_t j) { return i == j ? diagonal[i] : 0.0; });
  LeadingVectors vectors(kernels);
  if (!vectors.find(x.as(false))) return 0;
  for (size_t i = 0; i < n; ++i)
    if (std::abs(std::abs(vectors.left()[i]) - (i == 0 ? 1 : 0)) > 1e-8) return -1;
  return 1;
}

void certain_or_not() {
  for (const LeadingKernels* kernels : all_leading_kernels()) {
    const std::string name = kernels->name;
    expect(of_diagonal(*kernels, {255, 254, 253, 1}) == 1, name + ": hardly stands out");
    expect(of_diagonal(*kernels, {3, 3, 1}) == 0, name + ": two are equal");
    expect(of_diagonal(*kernels, std::vector<double>(60, 2.0)) == 0, name + ": all are equal");
    // More values than steps, and each as near to the next as bfloat16 can tell.
    std::vector<double> near(128);
    for (size_t i = 0; i < near.size(); ++i) near[i] = 255 - static_cast<double>(i);
    expect(of_diagonal(*kernels, near) >= 0, name + ": never the wrong one");
  }
}

void zeros_and_no_numbers() {
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const LeadingKernels* kernels : all_leading_kernels())
    for (const double bad : {0.0, kNaN, kInfinity}) {
      const auto x = matrix(5, 19, [&](size_t i, size_t j) { return bad != 0 && i == 2 && j == 3 ? bad : bad * 0; });
      LeadingVectors vectors(*kernels);
      std::vector<float> left(5 * 19, 7);
      expect(vectors.find(x.as(false)), "what has no vectors is no reason to look further");
      kernels->take_away(x.as(false), vectors.left().data(), vectors.right().data(), left.data());
      expect(std::all_of(left.begin(), left.end(),
                         [&](float value) { return bad == 0 ? value == 0 : std::isnan(value); }),
             std::string(kernels->name) + ": zeros stay, and what is not finite becomes NaN");
    }
}

}  // namespace

void test_leading() {
  right_on_any_machine();
  certain_or_not();
  zeros_and_no_numbers();
}
