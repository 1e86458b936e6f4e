// Exact ranks from rows of approximate scores, many rows at a time: pivots, sweep, and the items that
// the scores cannot order. See lookalike/ops/exact_ranks.py for the maths.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <type_traits>
#include <utility>
#include <vector>

#include "count.hpp"

namespace lookalike {

constexpr int64_t kFew = 24;           // up to here every pivot looks at every score
constexpr int64_t kStepsPerPivot = 16;  // beyond, pivots are found through a table
constexpr int64_t kPending = 1 << 19;  // items held back to be scored again, all rows together
constexpr int64_t kGalleryBlock = 256;  // vectors that stay in the second cache meanwhile

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

// One thread's work; the vectors keep their memory from row to row.
template <typename Score>
class Counter {
  public:
    Counter(const CountKernels& kernel, const float* gallery, int64_t width, int64_t size)
        : kernel_(kernel), sweep_(rows_of(kernel)), gallery_(gallery), width_(width), size_(size),
          close_(width + 1), peaks_((width + kBlock - 1) / kBlock) {}

    int64_t rescored = 0;

    // `best` may be null; else it takes the exact score of the nearest item.
    void add(const Row<Score>& row, double* best) {
        if (row.depth > 0 || best != nullptr) sweep_.peaks(row.scores, width_, peaks_.data());
        if (best != nullptr) *best = nearest(row);
        std::fill(row.above, row.above + row.depth, 0);
        std::fill(row.tied, row.tied + row.depth, 0);
        std::fill(row.before, row.before + row.depth, 0);
        if (row.depth == 0) return;
        place_pivots(row);
        const int64_t found = row.depth <= kFew ? sweep_few(row) : sweep_many(row);
        hold_back(row, found);
        if (static_cast<int64_t>(kept_.size()) >= kPending) settle();
    }

    // Score again, in float64, whatever shares the band of a pivot, and correct the counts.
    void settle() {
        if (pending_.empty()) return;
        exact_.resize(kept_.size());
        score_kept();
        for (const Pending& p : pending_) correct(p);
        pending_.clear();
        kept_.clear();
        first_.clear();
        unsure_.clear();
    }

  private:
    // Ranges of kept_ and of unsure_.
    struct Pending {
        Row<Score> row;
        int64_t from, to, unsure_from, unsure_to;
    };
    // A pivot by its place among the rising ones, among the row's items, and among those kept.
    struct Unsure {
        int32_t place, item, own;
    };

    static const CountRow<Score>& rows_of(const CountKernels& kernel) {
        if constexpr (std::is_same_v<Score, int32_t>)
            return kernel.fixed;
        else
            return kernel.exact;
    }

    double nearest(const Row<Score>& row) {
        const double nothing = -std::numeric_limits<double>::infinity();
        if (width_ == 0) return nothing;
        const Score top = *std::max_element(peaks_.begin(), peaks_.end());
        if (top == kOut<Score>) return nothing;
        if (!(row.error > 0)) return top;
        const Score low = below(top - 2 * row.error);
        near_.clear();
        for (int64_t block = 0; block < static_cast<int64_t>(peaks_.size()); ++block) {
            if (peaks_[block] < low) continue;
            const int64_t end = std::min(width_, (block + 1) * kBlock);
            for (int64_t j = block * kBlock; j < end; ++j)
                if (row.scores[j] >= low) near_.push_back(j);
        }
        sums_.resize(near_.size());
        kernel_.exact_dots(row.query, gallery_, size_, near_.data(), near_.size(), sums_.data());
        return *std::max_element(sums_.begin(), sums_.end());
    }

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

    // The bands, rising: where the scores of items can lie that the tile cannot tell from a pivot.
    // Two errors around its score in the row, or one around its exact score where those are few.
    void place_pivots(const Row<Score>& row) {
        const int64_t depth = row.depth;
        const bool few = depth <= kFew;
        band_low_.resize(depth);
        band_high_.resize(depth);
        if (few && row.error > 0) {
            sums_.resize(depth);
            kernel_.exact_dots(row.query, gallery_, size_, row.items, depth, sums_.data());
        }
        for (int64_t p = 0; p < depth; ++p) {
            const Score score = row.scores[row.items[p]];
            band_low_[p] = band_high_[p] = score;
            if (row.error > 0) {
                const double centre = few ? sums_[p] * row.scale : score;
                const double reach = few ? row.error : 2 * row.error;
                band_low_[p] = below(centre - reach);
                band_high_[p] = over(centre + reach);
            }
        }
        order_.resize(depth);
        if (few) {
            std::iota(order_.begin(), order_.end(), 0);
            sort_pivots(0, depth);
        } else {
            build_table(depth);
        }
        low_.resize(depth + 1);
        high_.resize(depth + 1);
        low_[depth] = high_[depth] = kTop<Score>;
        for (int64_t i = 0; i < depth; ++i) {
            low_[i] = band_low_[order_[i]];
            high_[i] = band_high_[order_[i]];
        }
    }

    void sort_pivots(int64_t from, int64_t to) {
        std::sort(order_.begin() + from, order_.begin() + to,
                  [this](int32_t a, int32_t b) {
                      return band_high_[a] != band_high_[b] ? band_high_[a] < band_high_[b]
                                                            : band_low_[a] < band_low_[b];
                  });
    }

    // Sort many pivots by the steps they fall in; the same table then finds the pivots of a score.
    void build_table(int64_t depth) {
        const auto [first, last] = middle(depth);
        steps_ = Steps<Score>::between(first, last, depth * kStepsPerPivot);
        base_.assign(steps_.size + 1, 0);
        place_.resize(depth);
        for (int64_t p = 0; p < depth; ++p) {
            place_[p] = steps_(band_high_[p]);
            ++base_[place_[p]];
        }
        kernel_.add_up(base_.data(), steps_.size + 1);
        // Each step counts the pivots up to its end; taking its own away, one by one, those before.
        for (int64_t p = depth - 1; p >= 0; --p) order_[--base_[place_[p]]] = static_cast<int32_t>(p);
        for (int64_t from = 0, to; from < depth; from = to) {
            to = base_[place_[order_[from]] + 1];
            if (to - from > 1) sort_pivots(from, to);
        }
        // The steps that a band reaches are marked.
        int32_t done = 0;
        for (const int32_t p : order_) {
            for (int32_t b = std::max(done, steps_(band_low_[p])); b <= place_[p]; ++b)
                base_[b] |= kMarked;
            done = std::max(done, place_[p] + 1);
        }
    }

    // Where nearly all pivots lie. A few far off would leave the others too few steps; beyond the
    // range they share one.
    std::pair<Score, Score> middle(int64_t depth) const {
        Score first = band_low_[0], last = band_high_[0];
        double sum = 0, squares = 0;
        for (int64_t p = 0; p < depth; ++p) {
            first = std::min(first, band_low_[p]);
            last = std::max(last, band_high_[p]);
            const double score = static_cast<double>(band_low_[p]);
            sum += score;
            squares += score * score;
        }
        const double mean = sum / depth;
        const double reach = 3 * std::sqrt(std::max(0.0, squares / depth - mean * mean));
        if (mean - reach > static_cast<double>(first)) first = static_cast<Score>(mean - reach);
        if (mean + reach < static_cast<double>(last)) last = static_cast<Score>(mean + reach);
        return {first, last};
    }

    int64_t sweep_few(const Row<Score>& row) {
        counts_.assign(row.depth, 0);
        const int64_t found = sweep_.few(row.scores, width_, peaks_.data(), low_.data(),
                                         high_.data(), row.depth, counts_.data(), close_.data());
        for (int64_t i = 0; i < row.depth; ++i) row.above[order_[i]] = counts_[i];
        return found;
    }

    int64_t sweep_many(const Row<Score>& row) {
        beyond_.assign(row.depth + 1, 0);
        const int64_t found = sweep_.many(row.scores, width_, peaks_.data(), low_.data(),
                                          high_.data(), steps_, base_.data(), beyond_.data(),
                                          close_.data());
        int64_t higher = 0;
        for (int64_t i = row.depth - 1; i >= 0; --i) {
            higher += beyond_[i + 1];
            row.above[order_[i]] = higher;
        }
        return found;
    }

    // Note the pivots whose band holds another item too, or meets the next band; and all items of
    // such bands. An item is listed with the lowest pivot that reaches up to it: where it lies in
    // the band of a higher one too, the two bands meet, so the lowest is noted as well.
    void hold_back(const Row<Score>& row, int64_t found) {
        crowd_.assign(row.depth, 0);
        for (int64_t c = 0; c < found; ++c) ++crowd_[close_[c].pivot];
        Pending p{row, static_cast<int64_t>(kept_.size()), 0,
                  static_cast<int64_t>(unsure_.size()), 0};
        bool meets = false;  // the band before
        for (int64_t i = 0; i < row.depth; ++i) {
            const bool meets_next = high_[i] >= low_[i + 1];
            const bool doubtful = crowd_[i] > 1 || meets || meets_next;
            if (doubtful) unsure_.push_back({static_cast<int32_t>(i), order_[i], 0});
            crowd_[i] = doubtful;
            meets = meets_next;
        }
        if (static_cast<int64_t>(unsure_.size()) == p.unsure_from) return;
        own_.resize(row.depth + 1);
        int64_t next = 0;  // of the row's items, each of which is listed
        for (int64_t c = 0; c < found; ++c) {
            const Close close = close_[c];
            const bool is_pivot = next < row.depth && row.items[next] == close.item;
            own_[next] = static_cast<int32_t>(kept_.size() - p.from);
            next += is_pivot;
            if (!crowd_[close.pivot]) continue;
            kept_.push_back(close.item);
            first_.push_back(close.pivot);
        }
        for (size_t u = p.unsure_from; u < unsure_.size(); ++u)
            unsure_[u].own = own_[unsure_[u].item];
        p.to = kept_.size();
        p.unsure_to = unsure_.size();
        pending_.push_back(p);
    }

    // The items of all rows, one run of the gallery after the other, each read from memory once.
    void score_kept() {
        cursor_.clear();
        for (const Pending& p : pending_) cursor_.push_back(p.from);
        for (int64_t until = kGalleryBlock;; until += kGalleryBlock) {
            // In order, memory is several times as fast as item by item.
            const float* end = gallery_ + std::min(until, width_) * size_;
            for (const float* g = gallery_ + (until - kGalleryBlock) * size_; g < end; g += 16)
                __builtin_prefetch(g, 0, 2);
            for (size_t i = 0; i < pending_.size(); ++i) {
                const Pending& p = pending_[i];
                const int64_t from = cursor_[i];
                int64_t to = from;
                while (to < p.to && kept_[to] < until) ++to;
                if (to == from) continue;
                cursor_[i] = to;
                if (p.row.error > 0) {
                    kernel_.quick_dots(p.row.query, gallery_, size_, kept_.data() + from, to - from,
                                       exact_.data() + from);
                    rescored += to - from;
                } else {
                    for (int64_t c = from; c < to; ++c) exact_[c] = p.row.scores[kept_[c]];
                }
            }
            if (until >= width_) return;
        }
    }

    void correct(const Pending& p) {
        rank(p);
        const int64_t count = p.to - p.from;
        // Equal scores stand together: where their run begins and ends, for each item.
        begin_.resize(count);
        stop_.resize(count);
        seat_.resize(count);
        for (int64_t from = 0, to; from < count; from = to) {
            to = from + 1;
            while (to < count && exact_[ranked_[to]] == exact_[ranked_[from]]) ++to;
            for (int64_t c = from; c < to; ++c) {
                const int64_t at = ranked_[c] - p.from;
                begin_[at] = static_cast<int32_t>(from);
                stop_[at] = static_cast<int32_t>(to);
                seat_[at] = static_cast<int32_t>(c);
            }
        }
        for (int64_t u = p.unsure_from; u < p.unsure_to; ++u) {
            const auto [place, item, own] = unsure_[u];
            // Those beyond the band are among `above` already.
            const int64_t counted = count - upto_[place + 1];
            p.row.above[item] += (count - stop_[own]) - counted;
            p.row.tied[item] = stop_[own] - begin_[own] - 1;
            p.row.before[item] = seat_[own] - begin_[own];
        }
    }

    // Order a row's kept items by exact score, equal ones by index, into `ranked_`; upto_[i] of them
    // lie below pivot i. The quick sums of two items whose sums in order are equal lie within two
    // doubts; only what is that close is summed in order.
    void rank(const Pending& p) {
        const int64_t count = p.to - p.from;
        upto_.assign(p.row.depth + 2, 0);
        for (int64_t c = p.from; c < p.to; ++c) ++upto_[first_[c] + 1];
        std::partial_sum(upto_.begin(), upto_.end(), upto_.begin());
        slot_.assign(upto_.begin(), upto_.end() - 1);
        ranked_.resize(count);
        for (int64_t c = p.from; c < p.to; ++c) ranked_[slot_[first_[c]]++] = c;
        const auto lower = [this](int64_t a, int64_t b) {
            return exact_[a] != exact_[b] ? exact_[a] < exact_[b] : a < b;
        };
        finish_sorting(lower);
        if (!(p.row.error > 0)) return;
        const double reach = 2 * p.row.doubt;
        for (int64_t from = 0, to; from < count; from = to) {
            to = from + 1;
            while (to < count && exact_[ranked_[to]] - exact_[ranked_[to - 1]] <= reach) ++to;
            if (to - from == 1) continue;
            near_.resize(to - from);
            sums_.resize(to - from);
            for (int64_t c = from; c < to; ++c) near_[c - from] = kept_[ranked_[c]];
            kernel_.exact_dots(p.row.query, gallery_, size_, near_.data(), to - from, sums_.data());
            for (int64_t c = from; c < to; ++c) exact_[ranked_[c]] = sums_[c - from];
            std::sort(ranked_.begin() + from, ranked_.begin() + to, lower);
        }
    }

    // Few stand far from their place by now, unless vectors collapsed.
    template <typename Lower>
    void finish_sorting(const Lower& lower) {
        int64_t moves = 0;
        const int64_t count = ranked_.size(), most = 8 * count;
        for (int64_t c = 1; c < count; ++c) {
            const int64_t one = ranked_[c];
            int64_t place = c;
            for (; place > 0 && lower(one, ranked_[place - 1]); --place)
                ranked_[place] = ranked_[place - 1];
            ranked_[place] = one;
            moves += c - place;
            if (moves > most) {
                std::sort(ranked_.begin(), ranked_.end(), lower);
                return;
            }
        }
    }

    const CountKernels& kernel_;
    const CountRow<Score>& sweep_;
    const float* gallery_;
    int64_t width_, size_;
    Steps<Score> steps_{};
    std::vector<Close> close_;
    std::vector<Score> peaks_, band_low_, band_high_, low_, high_;
    std::vector<int32_t> order_, base_, place_, beyond_, crowd_, own_, first_;
    std::vector<int32_t> upto_, slot_, begin_, stop_, seat_;
    std::vector<int64_t> counts_, kept_, ranked_, near_, cursor_;
    std::vector<Unsure> unsure_;
    std::vector<Pending> pending_;
    std::vector<double> exact_, sums_;
};

}  // namespace lookalike
