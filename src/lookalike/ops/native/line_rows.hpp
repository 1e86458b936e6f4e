// What the bindings of the line kernels share: plans from Python, and the rows of one thread.
#pragma once

#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <cmath>
#include <optional>
#include <tuple>
#include <vector>

#include "arrays.hpp"
#include "lines.hpp"
#include "sorting.hpp"

namespace lookalike {

using Table = nb::ndarray<const float, nb::shape<-1, kNodes, kNodes>, nb::c_contig, nb::device::cpu>;
// The cuts (at, is strict, constant, slope, scale, add); the table of the curve, or none; and of the
// curve the first distance, width, shift, beyond, and whether it is cut.
using PlanParts = std::tuple<std::vector<std::array<double, 6>>, std::optional<Table>,
                             std::array<double, 5>>;

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
                      n[1], n[2], n[3], n[4] != 0.0};
    }
    return plan;
}

// Points of a row in falling order, and which column each is.
struct Line {
    std::vector<float> x;
    std::vector<int32_t> place;

    void clear() {
        x.clear();
        place.clear();
    }
    void add(float value, int64_t at) {
        x.push_back(value);
        place.push_back(static_cast<int32_t>(at));
    }
    int64_t size() const { return static_cast<int64_t>(x.size()); }
};

// Sums of one thread, row after row.
class Rows {
  public:
    explicit Rows(const LineKernels& kernel) : kernel_(kernel) {}

    Line sources, targets, items;
    std::vector<float> weights, shares, one, two;
    std::vector<double> sums;
    Sorter sorter;

    const std::vector<double>& add(const std::vector<float>& x, const std::vector<float>& w,
                                   const std::vector<float>& at, const Plan& plan) {
        sums.assign(at.size(), 0.0);
        suffixes_.resize(x.size() * kNodes);
        places_.resize(x.size());
        weights_.resize(x.size() + 1);
        scores_.resize(x.size() + 1);
        cells_.resize(x.size() + 1);
        homes_.resize(at.size());
        passed_.resize(at.size());
        padded_.assign(at.begin(), at.end());
        padded_.resize(at.size() + kWide);
        LineRoom room = {suffixes_.data(), places_.data(), weights_.data(),
                         scores_.data(), cells_.data(), 0, homes_.data(), passed_.data()};
        kernel_.add({x.data(), w.data(), static_cast<int64_t>(x.size())}, padded_.data(),
                    static_cast<int64_t>(at.size()), plan, sums.data(), room);
        return sums;
    }

    // The same seen from the sources: for each, the sum over the targets. Last source first.
    const std::vector<double>& add_back(const std::vector<float>& x, const std::vector<float>& at,
                                        const std::vector<float>& w, const Plan& plan) {
        turn(at, one);
        turn(x, two);
        shares.assign(w.rbegin(), w.rend());
        return add(one, shares, two, plan);
    }

    // Columns of a row that lie within reach; false where a score is no number.
    bool read(const float* row, int64_t width, float absent, Line& line) {
        line.clear();
        bool good = true;
        for (int64_t j = 0; j < width; ++j) {
            if (row[j] == absent) continue;
            good &= std::isfinite(row[j]);
            line.add(row[j], j);
        }
        if (good) sorter.fall(line.x, line.place);
        return good;
    }

  private:
    static void turn(const std::vector<float>& from, std::vector<float>& to) {
        to.assign(from.rbegin(), from.rend());
        for (float& value : to) value = -value;
    }

    const LineKernels& kernel_;
    std::vector<float> suffixes_, padded_;
    std::vector<double> places_, weights_, scores_, homes_;
    std::vector<int32_t> passed_;
    std::vector<Cell> cells_;
};

}  // namespace lookalike
