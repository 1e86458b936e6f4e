// The pivots of a row: its relevant items in the order of their scores, the bands around them, and
// the table that finds the pivots of a score. See lookalike/ops/exact_ranks.py for the maths.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "count.hpp"

namespace lookalike {

constexpr int64_t kFew = 24;            // up to here every pivot looks at every score
constexpr int64_t kStepsPerPivot = 16;  // beyond, pivots are found through a table
constexpr int64_t kSampled = 4;         // one pivot of so many tells where most of them lie

// The score of an item out of the ranking, and a bound above all.
template <typename Score>
constexpr Score kOut = std::numeric_limits<Score>::has_infinity
                           ? -std::numeric_limits<Score>::infinity()
                           : std::numeric_limits<Score>::min();
template <typename Score>
constexpr Score kTop = std::numeric_limits<Score>::has_infinity
                           ? std::numeric_limits<Score>::infinity()
                           : std::numeric_limits<Score>::max();

// A query and its row of the tile: `scale` times the dot products, each at most `error` away from
// the exact one. Two float64 sums of one dot product differ by at most `doubt`. An error of 0 says
// that the scores are exact. `items` are its pivots, rising; the results go where they stand.
template <typename Score>
struct Row {
    const Score* scores;
    double scale, error, doubt;
    const float* query;
    const int64_t* items;
    int64_t depth;
    int64_t *above, *tied, *before;
};

// The pivots of one row at a time; the vectors keep their memory.
template <typename Score>
class Pivots {
  public:
    std::vector<int32_t> order;    // of the row's items, by rising band
    std::vector<Score> low, high;  // their bands, and one of infinite bounds after the last
    Steps<Score> steps{};          // of many pivots, with what `CountRow::many` reads
    std::vector<int32_t> base;

    // The nearest scores beyond a number; items out of the ranking stay below them all.
    static Score below(double value) {
        if constexpr (std::is_same_v<Score, int32_t>)
            return static_cast<Score>(std::max(std::floor(value), kOut<Score> + 1.0));
        else
            return std::nextafter(value, kOut<Score>);
    }
    static Score over(double value) {
        if constexpr (std::is_same_v<Score, int32_t>)
            return static_cast<Score>(std::min(std::ceil(value), kTop<Score> - 1.0));
        else
            return std::nextafter(value, kTop<Score>);
    }

    // The band of a score of the row.
    static std::pair<Score, Score> around(Score score, double reach) {
        if (!(reach > 0)) return {score, score};
        if constexpr (std::is_same_v<Score, int32_t>) {
            const int64_t whole = static_cast<int64_t>(std::ceil(reach));
            return {static_cast<Score>(std::max<int64_t>(score - whole, kOut<Score> + 1)),
                    static_cast<Score>(std::min<int64_t>(score + whole, kTop<Score> - 1))};
        } else {
            return {below(score - reach), over(score + reach)};
        }
    }

    // The bands, rising: where the scores of items can lie that the tile cannot tell from a pivot.
    // Two errors around its score in the row, or one around its exact score where those are few.
    void place(const Row<Score>& row, const CountKernels& kernel, const float* gallery,
               int64_t size) {
        const int64_t depth = row.depth;
        const bool few = depth <= kFew;
        band_low_.resize(depth);
        band_high_.resize(depth);
        if (few && row.error > 0) {
            sums_.resize(depth);
            kernel.exact_dots(row.query, gallery, size, row.items, depth, sums_.data());
        }
        const double reach = few ? row.error : 2 * row.error;
        if (few && row.error > 0) {
            for (int64_t p = 0; p < depth; ++p) {
                band_low_[p] = below(sums_[p] * row.scale - reach);
                band_high_[p] = over(sums_[p] * row.scale + reach);
            }
        } else {
            for (int64_t p = 0; p < depth; ++p)
                std::tie(band_low_[p], band_high_[p]) = around(row.scores[row.items[p]], reach);
        }
        order.resize(depth);
        low.resize(depth + 1);
        high.resize(depth + 1);
        if (few) {
            std::iota(order.begin(), order.end(), 0);
            sort(0, depth);
            for (int64_t i = 0; i < depth; ++i) high[i] = band_high_[order[i]];
        } else {
            build_table(depth, kernel);
        }
        for (int64_t i = 0; i < depth; ++i) low[i] = band_low_[order[i]];
        low[depth] = high[depth] = kTop<Score>;
    }

  private:
    void sort(int64_t from, int64_t to) {
        std::sort(order.begin() + from, order.begin() + to,
                  [this](int32_t a, int32_t b) {
                      return band_high_[a] != band_high_[b] ? band_high_[a] < band_high_[b]
                                                            : band_low_[a] < band_low_[b];
                  });
    }

    // Sort many pivots by the steps they fall in; the same table then finds the pivots of a score.
    void build_table(int64_t depth, const CountKernels& kernel) {
        const auto [first, last] = middle(depth);
        steps = Steps<Score>::between(first, last, depth * kStepsPerPivot);
        base.assign(steps.size + 1, 0);
        place_.resize(depth);
        for (int64_t p = 0; p < depth; ++p) {
            place_[p] = steps(band_high_[p]);
            ++base[place_[p]];
        }
        kernel.add_up(base.data(), steps.size + 1);
        // Each step counts the pivots up to its end; taking its own away, one by one, those before.
        for (int64_t p = depth - 1; p >= 0; --p) order[--base[place_[p]]] = static_cast<int32_t>(p);
        for (int64_t i = 0; i < depth; ++i) high[i] = band_high_[order[i]];
        for (int64_t i = 1; i < depth; ++i) {
            if (high[i - 1] < high[i]) continue;
            // Two of one step that may stand the wrong way round.
            const int32_t step = place_[order[i]];
            const int64_t from = base[step], to = base[step + 1];
            sort(from, to);
            for (int64_t k = from; k < to; ++k) high[k] = band_high_[order[k]];
            i = to;
        }
        // The steps that a band reaches are marked.
        int32_t done = 0;
        for (const int32_t p : order) {
            for (int32_t b = std::max(done, steps(band_low_[p])); b <= place_[p]; ++b)
                base[b] |= kMarked;
            done = std::max(done, place_[p] + 1);
        }
    }

    // Where nearly all pivots lie. A few far off would leave the others too few steps; beyond the
    // range they share one.
    std::pair<Score, Score> middle(int64_t depth) const {
        Score first = band_low_[0], last = band_high_[0];
        for (int64_t p = 0; p < depth; ++p) {
            first = std::min(first, band_low_[p]);
            last = std::max(last, band_high_[p]);
        }
        double sum = 0, squares = 0;
        const int64_t count = (depth + kSampled - 1) / kSampled;
        for (int64_t p = 0; p < depth; p += kSampled) {
            const double score = static_cast<double>(band_low_[p]);
            sum += score;
            squares += score * score;
        }
        const double mean = sum / count;
        const double reach = 3 * std::sqrt(std::max(0.0, squares / count - mean * mean));
        if (mean - reach > static_cast<double>(first)) first = static_cast<Score>(mean - reach);
        if (mean + reach < static_cast<double>(last)) last = static_cast<Score>(mean + reach);
        return {first, last};
    }

    std::vector<Score> band_low_, band_high_;
    std::vector<int32_t> place_;
    std::vector<double> sums_;
};

}  // namespace lookalike
