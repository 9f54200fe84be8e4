#include "linalg/codes.h"

#include <algorithm>
#include <cmath>

namespace mode_ensemble {
namespace {

// A dot product of codes of these norms is at most 2^31 - 1 by Cauchy and Schwarz, and so is every part of
// it.
constexpr float kMostNorm = 46000;

template <class Code>
CodeFacts encode_as(const float* v, int64_t n, float blur, float most, Code* codes) {
  // Sums in lanes, so that the compiler may use vectors and the error stays small.
  constexpr int64_t kLanes = 16;
  float top[kLanes] = {}, squares[kLanes] = {}, errors[kLanes] = {}, coded[kLanes] = {};
  const int64_t whole = n - n % kLanes;
  const auto measure = [&](int64_t i, int64_t lane) {
    const float size = std::abs(v[i]);
    top[lane] = size > top[lane] ? size : top[lane];
    squares[lane] += v[i] * v[i];
  };
  for (int64_t i = 0; i < whole; i += kLanes)
    for (int64_t lane = 0; lane < kLanes; ++lane) measure(i + lane, lane);
  for (int64_t i = whole; i < n; ++i) measure(i, i - whole);
  double square = 0;
  float largest = 0;
  for (int64_t lane = 0; lane < kLanes; ++lane) {
    square += squares[lane];
    largest = std::max(largest, top[lane]);
  }
  CodeFacts facts;
  const auto norm = static_cast<float>(std::sqrt(square));
  facts.scale = std::max(largest / most, norm / kMostNorm);
  // Numbers so small that their inverse overflows are zero, and their norm the error.
  if (!(facts.scale > 1e-30F)) facts.scale = 0;
  const float inverse = facts.scale > 0 ? 1 / facts.scale : 0;
  const auto code = [&](int64_t i, int64_t lane) {
    const float value = v[i] * inverse;
    const auto whole_number = static_cast<int32_t>(value + (value < 0 ? -0.5F : 0.5F));
    codes[i] = static_cast<Code>(whole_number);
    const float back = static_cast<float>(whole_number) * facts.scale;
    const float off = v[i] - back;
    errors[lane] += off * off;
    coded[lane] += back * back;
  };
  for (int64_t i = 0; i < whole; i += kLanes)
    for (int64_t lane = 0; lane < kLanes; ++lane) code(i + lane, lane);
  for (int64_t i = whole; i < n; ++i) code(i, i - whole);
  double error = 0, code_square = 0;
  for (int64_t lane = 0; lane < kLanes; ++lane) {
    error += errors[lane];
    code_square += coded[lane];
  }
  const float round = rounding(n);
  facts.half = static_cast<float>(code_square / 2);
  facts.norm = norm * (1 + round) + blur;
  facts.error = static_cast<float>(std::sqrt(error)) * (1 + round) + norm * 0x1p-22F + blur;
  facts.slack = static_cast<float>((square - code_square) / 2) - norm * (2 * norm * round + blur);
  return facts;
}

}  // namespace

float rounding(int64_t n) { return (static_cast<float>(n) / 16 + 8) * 0x1p-24F; }

CodeFacts encode(const float* v, int64_t n, float blur, int8_t* codes) {
  return encode_as(v, n, blur, 127, codes);
}
CodeFacts encode(const float* v, int64_t n, float blur, int16_t* codes) {
  return encode_as(v, n, blur, 32767, codes);
}

CoarseQueries::CoarseQueries(int64_t rows, int64_t width) : width_(width), quads_((width + 3) / 4) {
  const auto padded = static_cast<size_t>((rows + kGroup - 1) / kGroup * kGroup);
  codes_.resize(padded * static_cast<size_t>(4 * quads_));
  start_.resize(padded);
  scale_.resize(padded);
  facts_.resize(padded);
}

void CoarseQueries::set(int64_t row, const float* v, float blur) {
  const auto at = static_cast<size_t>(row);
  int8_t* codes = codes_.data() + row * 4 * quads_;
  facts_[at] = encode(v, width_, blur, codes);
  scale_[at] = facts_[at].scale;
  int32_t sum = 0;
  for (int64_t i = 0; i < width_; ++i) sum += codes[i];
  start_[at] = -128 * sum;
}

GroupView CoarseQueries::group(int64_t first) const {
  return {codes_.data() + first * 4 * quads_, start_.data() + first, scale_.data() + first};
}

CoarseBank::CoarseBank(int64_t rows, int64_t width) : rows_(rows), width_(width), quads_((width + 3) / 4) {
  const auto panels = static_cast<size_t>((rows + kPanel - 1) / kPanel);
  codes_.resize(panels * static_cast<size_t>(quads_ * 4 * kPanel), 128);
  scale_.resize(panels * kPanel);
  half_.resize(panels * kPanel);
  bounds_.resize(panels);
}

void CoarseBank::set(int64_t row, const float* v, float blur, int8_t* scratch) {
  const CodeFacts facts = encode(v, width_, blur, scratch);
  const auto at = static_cast<size_t>(row);
  scale_[at] = facts.scale;
  half_[at] = facts.half;
  Bounds& bounds = bounds_[at / kPanel];
  const bool first = row % kPanel == 0;
  bounds.error = std::max(bounds.error, facts.error);
  bounds.norm = std::max(bounds.norm, facts.norm);
  bounds.slack = first ? facts.slack : std::min(bounds.slack, facts.slack);
  uint8_t* codes = codes_.data() + row / kPanel * quads_ * 4 * kPanel + row % kPanel * 4;
  for (int64_t i = 0; i < width_; ++i)
    codes[i / 4 * 4 * kPanel + i % 4] = static_cast<uint8_t>(scratch[i] + 128);
}

PanelView CoarseBank::panel(int64_t index) const {
  return {codes_.data() + index * quads_ * 4 * kPanel, scale_.data() + index * kPanel,
          half_.data() + index * kPanel};
}

uint32_t CoarseBank::rows_of(int64_t panel) const {
  const int64_t left = rows_ - panel * kPanel;
  return left >= kPanel ? ~uint32_t{0} : (uint32_t{1} << left) - 1;
}

FineRows::FineRows(int64_t rows, int64_t width) : width_(width), stride_((width + 31) / 32 * 32) {
  codes_.resize(static_cast<size_t>(rows * stride_));
  facts_.resize(static_cast<size_t>(rows));
}

void FineRows::set(int64_t row, const float* v) {
  const CodeFacts facts = encode(v, width_, 0, codes_.data() + row * stride_);
  // ‖code‖² from the whole numbers: exact, so that equal rows are at distance 0.
  int64_t square = 0;
  const int16_t* code = codes(row);
  for (int64_t i = 0; i < width_; ++i) square += int64_t{code[i]} * code[i];
  facts_[static_cast<size_t>(row)] = {
      static_cast<double>(square) * static_cast<double>(facts.scale) * static_cast<double>(facts.scale),
      facts.scale,
      // The last part is for comparisons, which subtract squares in float64.
      facts.error + facts.norm * 0x1p-24F};
}

}  // namespace mode_ensemble
