// The Python face of the counting kernels: one row at a time, pivots, sweep, and the few items that
// the approximate scores cannot order.
#include "count.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "threads.hpp"

namespace nb = nanobind;

namespace lookalike {
namespace {

template <typename T>
using Vector = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Matrix = nb::ndarray<T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

constexpr int64_t kFew = 24;          // up to here every pivot looks at every score
constexpr int64_t kStepsPerPivot = 8;  // beyond, pivots are found through a table

const CountKernels& kernels(const std::string& isa) {
#if defined(LOOKALIKE_X86)
    if (isa == "avx512") return avx512::count_kernels;
    if (isa == "avx2") return avx2::count_kernels;
#endif
    if (isa == "baseline") return baseline::count_kernels;
    throw std::invalid_argument("no such instruction set: " + isa);
}

template <typename Score>
const CountRow<Score>& rows_of(const CountKernels& kernel) {
    if constexpr (sizeof(Score) == sizeof(float)) {
        return kernel.single;
    } else {
        return kernel.twice;
    }
}

// One thread's work on its rows; the vectors keep their memory from row to row. An error of 0 says
// that the scores are exact.
template <typename Score>
class Counter {
  public:
    Counter(const CountKernels& kernel, const float* gallery, int64_t width, int64_t size)
        : kernel_(kernel), sweep_(rows_of<Score>(kernel)), gallery_(gallery), width_(width),
          size_(size), close_(width + 1), peaks_((width + kBlock - 1) / kBlock) {}

    // `best` may be null; else it takes the exact score of the nearest item.
    void count(const Score* row, double error, const float* query, const int64_t* items,
               int64_t depth, int64_t* above, int64_t* tied, int64_t* before, double* best) {
        if (depth > 0 || best != nullptr) sweep_.peaks(row, width_, peaks_.data());
        if (best != nullptr) *best = nearest(row, error, query);
        std::fill(above, above + depth, 0);
        std::fill(tied, tied + depth, 0);
        std::fill(before, before + depth, 0);
        if (depth == 0) return;
        low_.resize(depth);
        high_.resize(depth);
        crowd_.assign(depth, 0);
        place_bands(row, error, query, items, depth);
        const int64_t found = depth <= kFew
                                  ? sweep_.few(row, width_, peaks_.data(), low_.data(), high_.data(),
                                               depth, above, crowd_.data(), close_.data())
                                  : sweep_many(row, depth, above);
        settle(row, error, query, items, depth, found, above, tied, before);
    }

    int64_t rescored = 0;

  private:
    // Where the scores of items can lie that float32 cannot tell from a pivot: two errors around its
    // score in the row, or one around its exact score where those are few.
    void place_bands(const Score* row, double error, const float* query, const int64_t* items,
                     int64_t depth) {
        const bool few = depth <= kFew;
        if (few && error > 0) {
            sums_.resize(depth);
            kernel_.exact_dots(query, gallery_, size_, items, depth, sums_.data());
        }
        for (int64_t p = 0; p < depth; ++p) {
            const Score score = row[items[p]];
            low_[p] = high_[p] = score;
            if (error > 0) {
                low_[p] = few ? below(sums_[p] - error) : below(score - 2 * error);
                high_[p] = few ? over(sums_[p] + error) : over(score + 2 * error);
            }
        }
    }

    double nearest(const Score* row, double error, const float* query) {
        const double nothing = -std::numeric_limits<double>::infinity();
        if (width_ == 0) return nothing;
        const Score top = *std::max_element(peaks_.begin(), peaks_.end());
        if (!(error > 0) || top == -std::numeric_limits<Score>::infinity()) return top;
        const Score low = below(top - 2 * error);
        kept_.clear();
        for (int64_t block = 0; block < static_cast<int64_t>(peaks_.size()); ++block) {
            if (peaks_[block] < low) continue;
            const int64_t end = std::min(width_, (block + 1) * kBlock);
            for (int64_t j = block * kBlock; j < end; ++j)
                if (row[j] >= low) kept_.push_back(j);
        }
        exact_.resize(kept_.size());
        kernel_.exact_dots(query, gallery_, size_, kept_.data(), kept_.size(), exact_.data());
        return *std::max_element(exact_.begin(), exact_.end());
    }

    static Score below(double value) {
        return std::nextafter(static_cast<Score>(value), -std::numeric_limits<Score>::infinity());
    }
    static Score over(double value) {
        return std::nextafter(static_cast<Score>(value), std::numeric_limits<Score>::infinity());
    }

    int64_t sweep_many(const Score* row, int64_t depth, int64_t* above) {
        order_.resize(depth);
        const auto [first, last] = std::minmax_element(high_.begin(), high_.end());
        const int64_t size = depth * kStepsPerPivot;
        const Score start = *first, range = *last - *first;
        // A step wide enough that the quotient stays finite, however close the pivots lie.
        const Score scale = range > std::numeric_limits<Score>::min() ? (size - 1) / range : 0;
        base_.assign(size + 1, 0);
        place_.resize(depth);
        for (int64_t p = 0; p < depth; ++p) {
            const Score at = (high_[p] - start) * scale;
            place_[p] = static_cast<int32_t>(std::min(at, static_cast<Score>(size - 1)));
            ++base_[place_[p] + 1];
        }
        for (int64_t b = 0; b < size; ++b) base_[b + 1] += base_[b];
        next_.assign(base_.begin(), base_.end());
        for (int64_t p = 0; p < depth; ++p) order_[next_[place_[p]]++] = static_cast<int32_t>(p);
        const auto lower = [this](int32_t a, int32_t b) { return high_[a] < high_[b]; };
        for (int64_t b = 0; b < size; ++b)
            if (base_[b + 1] - base_[b] > 1)
                std::sort(order_.begin() + base_[b], order_.begin() + base_[b + 1], lower);
        low_sorted_.resize(depth + 1);
        high_sorted_.resize(depth + 1);
        low_sorted_[depth] = high_sorted_[depth] = std::numeric_limits<Score>::infinity();
        for (int64_t i = 0; i < depth; ++i) {
            low_sorted_[i] = low_[order_[i]];
            high_sorted_[i] = high_[order_[i]];
        }
        beyond_.assign(depth + 1, 0);
        const int64_t found =
            sweep_.many(row, width_, peaks_.data(), low_sorted_.data(), high_sorted_.data(),
                        Steps<Score>{start, scale, size, base_.data()}, beyond_.data(),
                        close_.data());
        int64_t higher = 0;
        for (int64_t i = depth - 1; i >= 0; --i) {
            higher += beyond_[i + 1];
            above[order_[i]] = higher;
        }
        if (found == depth && apart()) {  // every item inside a band is the pivot itself
            std::fill(crowd_.begin(), crowd_.end(), 1);
            return found;
        }
        // The pivots whose band holds an item are neighbours: open at the first, shut after the last.
        change_.assign(depth + 1, 0);
        for (int64_t c = 0; c < found; ++c) {
            const Score value = row[close_[c]];
            ++change_[std::lower_bound(high_sorted_.begin(), high_sorted_.end(), value) -
                      high_sorted_.begin()];
            --change_[std::upper_bound(low_sorted_.begin(), low_sorted_.end(), value) -
                      low_sorted_.begin()];
        }
        int64_t open = 0;
        for (int64_t i = 0; i < depth; ++i) {
            open += change_[i];
            crowd_[order_[i]] = open;
        }
        return found;
    }

    bool apart() const {
        for (size_t i = 0; i + 1 < high_sorted_.size(); ++i)
            if (high_sorted_[i] >= low_sorted_[i + 1]) return false;
        return true;
    }

    // Score again, in float64, whatever shares the band of a pivot, and correct the counts.
    void settle(const Score* row, double error, const float* query, const int64_t* items, int64_t depth,
                int64_t found, int64_t* above, int64_t* tied, int64_t* before) {
        unsure_.clear();
        for (int64_t p = 0; p < depth; ++p)
            if (crowd_[p] > 1) unsure_.push_back(p);
        if (unsure_.empty()) return;
        std::sort(unsure_.begin(), unsure_.end(),
                  [this](int64_t a, int64_t b) { return high_[a] < high_[b]; });
        kept_.clear();
        for (int64_t c = 0; c < found; ++c) {
            // The first unsure pivot that reaches up to the item has the lowest band of those left.
            const Score value = row[close_[c]];
            const auto at = std::lower_bound(
                unsure_.begin(), unsure_.end(), value,
                [this](int64_t p, Score v) { return high_[p] < v; });
            if (at != unsure_.end() && low_[*at] <= value) kept_.push_back(close_[c]);
        }
        const int64_t count = static_cast<int64_t>(kept_.size());
        rank(row, query, error, count);
        rough_.resize(count);
        for (int64_t c = 0; c < count; ++c) rough_[c] = row[kept_[c]];
        if (!std::is_sorted(rough_.begin(), rough_.end())) std::sort(rough_.begin(), rough_.end());
        for (const int64_t p : unsure_) {
            const int64_t own = std::lower_bound(kept_.begin(), kept_.end(), items[p]) - kept_.begin();
            const double score = exact_[own];
            const auto from = std::lower_bound(
                ranked_.begin(), ranked_.end(), score,
                [this](int64_t c, double v) { return exact_[c] < v; });
            const auto to = std::upper_bound(
                from, ranked_.end(), score,
                [this](double v, int64_t c) { return v < exact_[c]; });
            // Those beyond the band are among `above` already.
            const int64_t counted =
                rough_.end() - std::upper_bound(rough_.begin(), rough_.end(), high_[p]);
            above[p] += (ranked_.end() - to) - counted;
            tied[p] = (to - from) - 1;
            before[p] = std::lower_bound(from, to, own) - from;
        }
    }

    // Order `kept_` by exact score, equal ones by index, into `ranked_`. The bound on a float64 sum
    // is 2^-29 of that on a float32 one; two sums of each of two items can lie four bounds apart.
    // Only what lies closer than that is summed in order.
    void rank(const Score* row, const float* query, double error, int64_t count) {
        exact_.resize(count);
        if (error > 0) {
            kernel_.quick_dots(query, gallery_, size_, kept_.data(), count, exact_.data());
            rescored += count;
        } else {
            for (int64_t c = 0; c < count; ++c) exact_[c] = row[kept_[c]];
        }
        ranked_.resize(count);
        std::iota(ranked_.begin(), ranked_.end(), int64_t{0});
        const auto lower = [this](int64_t a, int64_t b) {
            return exact_[a] != exact_[b] ? exact_[a] < exact_[b] : a < b;
        };
        // Collapsed vectors tie from end to end, which leaves nothing to sort.
        if (!std::is_sorted(ranked_.begin(), ranked_.end(), lower))
            std::sort(ranked_.begin(), ranked_.end(), lower);
        if (!(error > 0)) return;
        const double reach = sizeof(Score) == sizeof(float) ? std::ldexp(error, -27) : 2 * error;
        for (int64_t from = 0, to; from < count; from = to) {
            to = from + 1;
            while (to < count && exact_[ranked_[to]] - exact_[ranked_[to - 1]] <= reach) ++to;
            if (to - from == 1) continue;
            cluster_.resize(to - from);
            sums_.resize(to - from);
            for (int64_t c = from; c < to; ++c) cluster_[c - from] = kept_[ranked_[c]];
            kernel_.exact_dots(query, gallery_, size_, cluster_.data(), to - from, sums_.data());
            for (int64_t c = from; c < to; ++c) exact_[ranked_[c]] = sums_[c - from];
            std::sort(ranked_.begin() + from, ranked_.begin() + to, lower);
        }
    }

    const CountKernels& kernel_;
    const CountRow<Score>& sweep_;
    const float* gallery_;
    int64_t width_, size_;
    std::vector<int64_t> close_, kept_, ranked_, unsure_, crowd_, change_, cluster_;
    std::vector<Score> peaks_, low_, high_, low_sorted_, high_sorted_, rough_;
    std::vector<int32_t> order_, base_, next_, place_, beyond_;
    std::vector<double> exact_, sums_;
};

// Returns how many items it had to score again.
template <typename Score>
int64_t count_ranks(Matrix<const Score> scores, Vector<const double> error,
                 Vector<const int64_t> starts, Vector<const int64_t> items,
                 Matrix<const float> query, Matrix<const float> gallery, Vector<int64_t> above,
                 Vector<int64_t> tied, Vector<int64_t> before, Vector<double> best,
                 const std::string& isa, int threads) {
    const int64_t rows = scores.shape(0), width = scores.shape(1), size = query.shape(1);
    if (static_cast<int64_t>(error.shape(0)) != rows ||
        static_cast<int64_t>(starts.shape(0)) != rows + 1 ||
        static_cast<int64_t>(query.shape(0)) != rows ||
        static_cast<int64_t>(gallery.shape(0)) != width ||
        static_cast<int64_t>(gallery.shape(1)) != size || above.shape(0) != items.shape(0) ||
        tied.shape(0) != items.shape(0) || before.shape(0) != items.shape(0) ||
        starts.data()[rows] != static_cast<int64_t>(items.shape(0)) ||
        (best.shape(0) != 0 && static_cast<int64_t>(best.shape(0)) != rows))
        throw std::invalid_argument("arrays differ in length");
    const CountKernels& kernel = kernels(isa);
    const Score* s = scores.data();
    const double* e = error.data();
    const float *q = query.data(), *g = gallery.data();
    const int64_t *from = starts.data(), *item = items.data();
    int64_t *a = above.data(), *t = tied.data(), *b = before.data();
    double* top = best.shape(0) != 0 ? best.data() : nullptr;
    std::atomic<int64_t> rescored{0};
    nb::gil_scoped_release free;
    share_rows(rows, width * 4, threads, [=, &kernel, &rescored](int64_t first, int64_t last) {
        Counter<Score> counter(kernel, g, width, size);
        for (int64_t i = first; i < last; ++i)
            counter.count(s + i * width, e[i], q + i * size, item + from[i], from[i + 1] - from[i],
                          a + from[i], t + from[i], b + from[i],
                          top != nullptr ? top + i : nullptr);
        rescored += counter.rescored;
    });
    return rescored;
}

// A run of vectors as doubles, dimension by dimension: out[k * width + i] = vectors[i][k].
void pack(const float* vectors, int64_t count, int64_t size, int64_t width, double* out) {
    if (count < width) std::fill(out, out + size * width, 0.0);
    for (int64_t k = 0; k < size; ++k)
        for (int64_t i = 0; i < count; ++i) out[k * width + i] = vectors[i * size + k];
}

void exact_tile(Matrix<const float> query, Matrix<const float> gallery, Matrix<double> out,
                const std::string& isa, int threads) {
    const int64_t rows = query.shape(0), width = gallery.shape(0), size = query.shape(1);
    if (static_cast<int64_t>(gallery.shape(1)) != size ||
        static_cast<int64_t>(out.shape(0)) != rows || static_cast<int64_t>(out.shape(1)) != width)
        throw std::invalid_argument("arrays differ in length");
    const TileKernel& tile = kernels(isa).tile;
    const float *q = query.data(), *g = gallery.data();
    double* o = out.data();
    nb::gil_scoped_release free;
    const int64_t groups = (rows + tile.rows - 1) / tile.rows;
    const int64_t panels = (width + tile.columns - 1) / tile.columns;
    std::vector<double> packed(groups * tile.rows * size);
    for (int64_t i = 0; i < groups; ++i)
        pack(q + i * tile.rows * size, std::min(tile.rows, rows - i * tile.rows), size, tile.rows,
             packed.data() + i * tile.rows * size);
    share_rows(panels, rows * size, threads, [=, &tile, &packed](int64_t first, int64_t last) {
        std::vector<double> panel(tile.columns * size);
        for (int64_t p = first; p < last; ++p) {
            const int64_t from = p * tile.columns, columns = std::min(tile.columns, width - from);
            pack(g + from * size, columns, size, tile.columns, panel.data());
            for (int64_t i = 0; i < groups; ++i)
                tile.step(packed.data() + i * tile.rows * size, panel.data(), size,
                          o + i * tile.rows * width + from, width,
                          std::min(tile.rows, rows - i * tile.rows), columns);
        }
    });
}

template <typename Score>
void bind(nb::module_& module) {
    module.def("count_ranks", &count_ranks<Score>, nb::arg("scores").noconvert(), nb::arg("error"),
               nb::arg("starts"), nb::arg("items"), nb::arg("query").noconvert(),
               nb::arg("gallery").noconvert(), nb::arg("above").noconvert(),
               nb::arg("tied").noconvert(), nb::arg("before").noconvert(),
               nb::arg("best").noconvert(), nb::arg("isa"), nb::arg("threads"));
}

}  // namespace

void bind_metrics(nb::module_& module);  // count_metrics.cpp

void bind_count(nb::module_& module) {
    bind_metrics(module);
    bind<float>(module);
    bind<double>(module);
    module.def("exact_tile", &exact_tile, nb::arg("query").noconvert(),
               nb::arg("gallery").noconvert(), nb::arg("out").noconvert(), nb::arg("isa"),
               nb::arg("threads"));
}

}  // namespace lookalike
