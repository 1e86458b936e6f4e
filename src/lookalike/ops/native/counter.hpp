// Exact ranks from rows of approximate scores, many rows at a time: pivots, sweep, and the items that
// the scores cannot order. See lookalike/ops/exact_ranks.py for the maths.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <numeric>
#include <type_traits>
#include <vector>

#include "count.hpp"
#include "pivots.hpp"

namespace lookalike {

constexpr int64_t kPending = 1 << 19;  // items held back to be scored again, all rows together
constexpr int64_t kGalleryBlock = 256;  // vectors that stay in the second cache meanwhile

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
        pivots_.place(row, kernel_, gallery_, size_);
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
        const Score low = Pivots<Score>::below(top - 2 * row.error);
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

    int64_t sweep_few(const Row<Score>& row) {
        counts_.assign(row.depth, 0);
        const int64_t found =
            sweep_.few(row.scores, width_, peaks_.data(), pivots_.low.data(), pivots_.high.data(),
                       row.depth, counts_.data(), close_.data());
        for (int64_t i = 0; i < row.depth; ++i) row.above[pivots_.order[i]] = counts_[i];
        return found;
    }

    int64_t sweep_many(const Row<Score>& row) {
        beyond_.assign(row.depth + 1, 0);
        const int64_t found =
            sweep_.many(row.scores, width_, peaks_.data(), pivots_.low.data(), pivots_.high.data(),
                        pivots_.steps, pivots_.base.data(), beyond_.data(), close_.data());
        int64_t higher = 0;
        for (int64_t i = row.depth - 1; i >= 0; --i) {
            higher += beyond_[i + 1];
            row.above[pivots_.order[i]] = higher;
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
        // Whether to note it cannot be foretold: write, and go on only if so.
        unsure_.resize(p.unsure_from + row.depth);
        Unsure* unsure = unsure_.data() + p.unsure_from;
        bool meets = false;  // the band before
        for (int64_t i = 0; i < row.depth; ++i) {
            const bool meets_next = pivots_.high[i] >= pivots_.low[i + 1];
            const bool doubtful = (crowd_[i] > 1) | meets | meets_next;
            *unsure = {static_cast<int32_t>(i), pivots_.order[i], 0};
            unsure += doubtful;
            crowd_[i] = doubtful;
            meets = meets_next;
        }
        unsure_.resize(unsure - unsure_.data());
        if (static_cast<int64_t>(unsure_.size()) == p.unsure_from) return;
        own_.resize(row.depth + 1);
        kept_.resize(p.from + found);
        first_.resize(p.from + found);
        int64_t *items = kept_.data() + p.from, next = 0, count = 0;  // next of the row's items
        int32_t* pivots = first_.data() + p.from;
        for (int64_t c = 0; c < found; ++c) {
            const Close close = close_[c];
            own_[next] = static_cast<int32_t>(count);
            next += next < row.depth && row.items[next] == close.item;
            items[count] = close.item;
            pivots[count] = close.pivot;
            count += crowd_[close.pivot];
        }
        kept_.resize(p.from + count);
        first_.resize(p.from + count);
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
    Pivots<Score> pivots_;
    std::vector<Close> close_;
    std::vector<Score> peaks_;
    std::vector<int32_t> beyond_, crowd_, own_, first_;
    std::vector<int32_t> upto_, slot_, begin_, stop_, seat_;
    std::vector<int64_t> counts_, kept_, ranked_, near_, cursor_;
    std::vector<Unsure> unsure_;
    std::vector<Pending> pending_;
    std::vector<double> exact_, sums_;
};

}  // namespace lookalike
