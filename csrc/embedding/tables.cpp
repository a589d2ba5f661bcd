// SPDX-License-Identifier: Apache-2.0
#include "embedding/tables.h"

#include <array>
#include <mutex>

#include "embedding/double_double.h"
#include "embedding/embedding.h"

namespace crypsis::embedding {
namespace {

struct Point {
  DoubleDouble re, im;
};

Point multiply(const Point& a, const Point& b) {
  return {add(multiply(a.re, b.re), negate(multiply(a.im, b.im))),
          add(multiply(a.re, b.im), multiply(a.im, b.re))};
}

// exp(2 pi i / 2^k), k >= 2, halving the angle from that of 90 degrees on. The sine by its quotient: 1 - cos would
// cancel.
Point root_of_unity(int k) {
  Point root{{0, 0}, {1, 0}};
  for (int i = 2; i < k; ++i) {
    const DoubleDouble twice = add({1, 0}, root.re), re = square_root({twice.hi / 2, twice.lo / 2});
    root = {re, divide(root.im, {2 * re.hi, 2 * re.lo})};
  }
  return root;
}

// The powers of exp(2 pi i / 2^k) up to 45 degrees, from products of at most k - 3 factors: errors of some 2^-98.
class Circle {
 public:
  explicit Circle(int k) : quarter_(std::size_t{1} << (k - 2)) {
    std::vector<Point> points{{{1, 0}, {0, 0}}};
    points.reserve(quarter_ / 2 + 1);
    for (std::size_t step = 1; step <= quarter_ / 2; step *= 2, --k) {
      const Point root = root_of_unity(k);
      for (std::size_t i = 0; i < step && i + step <= quarter_ / 2; ++i) {
        points.push_back(multiply(points[i], root));
      }
    }
    octant_.reserve(points.size());
    for (const Point& point : points) octant_.push_back({point.re.hi, point.im.hi});
  }

  // exp(2 pi i exponent / 2^k), rounded.
  std::array<double, 2> at(std::size_t exponent) const {
    const std::size_t turn = exponent / quarter_ % 4, rest = exponent % quarter_;
    std::array<double, 2> w = octant_[rest > quarter_ / 2 ? quarter_ - rest : rest];
    if (rest > quarter_ / 2) w = {w[1], w[0]};
    if (turn & 1) w = {-w[1], w[0]};
    if (turn & 2) w = {-w[0], -w[1]};
    return w;
  }
  // The order of the group: 2^k.
  std::size_t order() const { return 4 * quarter_; }

 private:
  std::size_t quarter_;
  std::vector<std::array<double, 2>> octant_;
};

// exp(2 pi i factor 5^j / order) for j < h as a row of real and one of imaginary parts.
double* put_row(const Circle& circle, std::size_t order, std::size_t factor, std::size_t h, double* to) {
  std::size_t power = 1;
  for (std::size_t j = 0; j < h; ++j, power = power * 5 % order) {
    const auto [re, im] = circle.at(factor * power % order * (circle.order() / order));
    to[j] = re;
    to[h + j] = im;
  }
  return to + 2 * h;
}

std::vector<std::uint32_t> reversed_indices(std::size_t n) {
  std::vector<std::uint32_t> reversed(n);
  for (std::size_t i = 1; i < n; ++i) {
    reversed[i] = reversed[i / 2] / 2 + static_cast<std::uint32_t>(i % 2 * (n / 2));
  }
  return reversed;
}

std::unique_ptr<const Tables> build(int log_n) {
  auto made = std::make_unique<Tables>();
  made->log_slots = log_n - 1;
  const std::size_t n = made->n = std::size_t{1} << made->log_slots;
  const Circle circle(log_n + 1);  // exp(2 pi i / 4 n)
  const bool small = n < kFirstSlots;
  made->reversed = reversed_indices(small ? n : n / 8);
  for (std::size_t at = 0, h = 1; !small && h <= 4; at += h, h *= 2) {
    double row[8];
    put_row(circle, 8 * h, 1, h, row);
    for (std::size_t j = 0; j < h; ++j) {
      made->first[at + j][0] = row[j];
      made->first[at + j][1] = row[h + j];
    }
  }
  made->twiddles = aligned_doubles(2 * n + 16);  // 2 h doubles a stage, 6 h for the two from h on
  double* to = made->twiddles.get();
  // After the first pass an odd number of stages begins with one of radix 2.
  for (std::size_t h = small ? 1 : 8; h < n;) {
    const bool single = small || (h == 8 && made->log_slots % 2 == 0);
    made->passes.push_back({single ? 2 : 4, h, to});
    if (single) {
      to = put_row(circle, 8 * h, 1, h, to);
    } else {
      for (const std::size_t factor : {1, 2, 3}) to = put_row(circle, 16 * h, factor, h, to);
    }
    h *= single ? 2 : 4;
  }
  return made;
}

}  // namespace

const Tables& tables(int log_n) {
  static std::array<std::once_flag, kMaxLogN + 1> built;
  static std::array<std::unique_ptr<const Tables>, kMaxLogN + 1> kept;
  const auto index = static_cast<std::size_t>(log_n);
  std::call_once(built[index], [&] { kept[index] = build(log_n); });
  return *kept[index];
}

}  // namespace crypsis::embedding
