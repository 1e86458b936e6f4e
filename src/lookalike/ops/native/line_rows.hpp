// What the bindings of the line kernels share: plans from Python, and the rows of one thread.
#pragma once

#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <cmath>
#include <cstring>
#include <optional>
#include <tuple>
#include <vector>

#include "arrays.hpp"
#include "lines.hpp"
#include "sorting.hpp"

namespace lookalike {

using Table = nb::ndarray<const float, nb::shape<-1, kNodes, kNodes>, nb::c_contig, nb::device::cpu>;
// The cuts (at, is strict, constant, slope, scale, add); the table of the curve, or none; of the curve
// the first distance, width, shift, beyond, whether it is cut, tau and whether it is a slope; and its
// tails, each term's factor and the powers of its exp.
using Tails = std::array<std::array<double, kNodes + 1>, kTerms>;
using PlanParts = std::tuple<std::vector<std::array<double, 6>>, std::optional<Table>,
                             std::array<double, 7>, Tails>;

inline Plan make_plan(const PlanParts& parts) {
    Plan plan = {};
    if (std::get<0>(parts).size() > kMostCuts) throw std::invalid_argument("too many cuts");
    for (const auto& n : std::get<0>(parts))
        plan.cuts[plan.cut_count++] = {static_cast<float>(n[0]), static_cast<float>(n[4]),
                                       static_cast<float>(n[5]), n[1] != 0.0, n[2], n[3]};
    const auto& table = std::get<1>(parts);
    if (table) {
        const auto& n = std::get<2>(parts);
        plan.has_curve = true;
        plan.curve = {table->data(), static_cast<int64_t>(n[0]), static_cast<int64_t>(table->shape(0)),
                      n[1], n[2], n[3], n[4] != 0.0, n[5], n[6] != 0.0, {}, {}, {}};
        for (int64_t k = 0; k < kNodes && table->shape(0) > 0; ++k)
            for (int64_t l = 0; l < kNodes; ++l)
                plan.curve.cut[l][k] = plan.curve.table[k * kNodes + l];
        for (int64_t k = 0; k < kTerms; ++k) {
            plan.curve.tail[k] = static_cast<float>(std::get<3>(parts)[k][0]);
            for (int64_t l = 0; l < kNodes; ++l)
                plan.curve.rise[k][l] = static_cast<float>(std::get<3>(parts)[k][l + 1]);
        }
    }
    return plan;
}

// After the last column of a row that has fewer than there are; a row with what is not a number begins so.
constexpr int32_t kEnd = -1, kNotANumber = -2;

// Memory that only grows: what it holds is not kept, nor cleared.
template <typename T>
class Grown {
  public:
    T* at_least(int64_t size) {
        if (size > static_cast<int64_t>(held_.size())) held_.resize(size + size / 4);
        return held_.data();
    }
    T* data() { return held_.data(); }
    const T* data() const { return held_.data(); }

  private:
    std::vector<T> held_;
};

// Points of a row in falling order, and which column each is.
struct Line {
    Grown<float> x;
    Grown<int32_t> place;
    int64_t size = 0;

    // Keeps of `count` points those for which keep(i) holds; value(i) and at(i) tell the rest.
    template <typename Keep, typename Value, typename At>
    void take(int64_t count, const Keep& keep, const Value& value, const At& at) {
        float* to = x.at_least(count);
        int32_t* column = place.at_least(count);
        int64_t n = 0;
        for (int64_t i = 0; i < count; ++i) {
            to[n] = value(i);
            column[n] = static_cast<int32_t>(at(i));
            n += keep(i) ? 1 : 0;
        }
        size = n;
    }
};

// Sums of one thread, row after row.
class Rows {
  public:
    explicit Rows(const LineKernels& kernel) : kernel_(kernel) {}

    Line sources, targets, items;
    Grown<float> weights;
    Sorter sorter;

    // For each of the `count` targets at `at`, the sum over the points x of weights w. With `slope`,
    // the curve of the derivative, also that of the derivative: slopes().
    const double* add(const float* x, const float* w, int64_t size, const float* at, int64_t count,
                      const Plan& plan, const Curve* slope = nullptr) {
        double *sums = sums_.at_least(count), *slopes = nullptr;
        std::memset(sums, 0, count * sizeof(double));
        if (slope != nullptr) {
            slopes = slopes_.at_least(count);
            std::memset(slopes, 0, count * sizeof(double));
        }
        float* padded = padded_.at_least(count + kWide);
        std::memcpy(padded, at, count * sizeof(float));
        std::memset(padded + count, 0, kWide * sizeof(float));
        LineRoom room = {suffixes_.at_least(size * kNodes), places_.at_least(size),
                         weights_.at_least(size + 1),       scores_.at_least(size + 1),
                         cells_.at_least(size + 1),         0,
                         homes_.at_least(count),            passed_.at_least(count)};
        kernel_.add({x, w, size}, padded, count, plan, slope, sums, slopes, room);
        return sums;
    }

    const double* slopes() { return slopes_.data(); }

    // The same seen from the sources x: for each, the sum over the targets. Last source first.
    const double* add_back(const float* x, int64_t size, const float* at, const float* w,
                           int64_t count, const Plan& plan) {
        const float* turned = turn(at, count, one_);
        const float* targets = turn(x, size, two_);
        float* shares = shares_.at_least(count);
        for (int64_t i = 0; i < count; ++i) shares[i] = w[count - 1 - i];
        return add(turned, shares, count, targets, size, plan);
    }

    // The columns of a row that are not absent, in falling order; false where one is not a number.
    bool read(const float* row, int64_t width, float absent, Line& line) {
        line.take(
            width, [=](int64_t j) { return row[j] != absent; }, [=](int64_t j) { return row[j]; },
            [](int64_t j) { return j; });
        return sort(line);
    }

    // False, and the line as it was, where one is not a number.
    bool sort(Line& line) {
        const float* x = line.x.data();
        float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < line.size; ++i) sum += x[i] - x[i];
        if (sum != 0.0f) return false;
        sorter.fall(line.x.data(), line.place.data(), line.size);
        return true;
    }

    // What `read` made of this row, from the columns that it found, kEnd after the last.
    void reread(const float* row, const int32_t* columns, int64_t width, Line& line) {
        float* x = line.x.at_least(width);
        int32_t* place = line.place.at_least(width);
        int64_t n = 0;
        for (; n < width && columns[n] >= 0 && columns[n] < width; ++n) {
            place[n] = columns[n];
            x[n] = row[columns[n]];
        }
        line.size = n;
    }

  private:
    static const float* turn(const float* from, int64_t size, Grown<float>& room) {
        float* to = room.at_least(size);
        for (int64_t i = 0; i < size; ++i) to[i] = -from[size - 1 - i];
        return to;
    }

    const LineKernels& kernel_;
    Grown<float> suffixes_, padded_, one_, two_, shares_;
    Grown<double> sums_, slopes_, places_, weights_, scores_, homes_;
    Grown<int32_t> passed_;
    Grown<Cell> cells_;
};

}  // namespace lookalike
