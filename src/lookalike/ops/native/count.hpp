// Exact ranks from rows of approximate scores. See lookalike/ops/exact_ranks.py for the maths.
#pragma once

#include <cstdint>

namespace lookalike {

// Where scores lie on the line of pivots: equal steps from the lowest bound to the highest, and
// one step on either side for all scores beyond.
template <typename Score>
struct Steps;

template <>
struct Steps<double> {
    double start, scale;
    int64_t size;

    static Steps between(double from, double to, int64_t size) {
        // A step wide enough that the quotient stays finite, however close the pivots lie.
        const double range = to - from;
        return {from, range > 1e-300 ? static_cast<double>(size - 3) / range : 0, size};
    }

    int32_t operator()(double score) const {
        double place = (score - start) * scale;
        place = place > 0 ? place : 0;
        const double top = static_cast<double>(size - 2);
        return static_cast<int32_t>(place < top ? place : top) + (score >= start);
    }
};

template <>
struct Steps<int32_t> {
    int32_t start, shift;
    int64_t size;

    static Steps between(int32_t from, int32_t to, int64_t size) {
        const uint32_t range = static_cast<uint32_t>(to) - static_cast<uint32_t>(from);
        int32_t shift = 0;
        while (static_cast<int64_t>(range >> shift) + 3 > size) ++shift;
        return {from, shift, static_cast<int64_t>(range >> shift) + 3};
    }

    int32_t operator()(int32_t score) const {
        const uint32_t reach = static_cast<uint32_t>(score > start ? score : start) -
                               static_cast<uint32_t>(start);
        const uint32_t place = reach >> shift, top = static_cast<uint32_t>(size - 2);
        return static_cast<int32_t>(place < top ? place : top) + (score >= start);
    }
};

// An item inside a band, and the lowest pivot that reaches up to it.
struct Close {
    int32_t item, pivot;
};

// Scores are taken a block at a time, so that all pivots see them while they are in the first cache.
constexpr int64_t kBlock = 512;
constexpr int32_t kMarked = INT32_MIN;  // the sign bit

// Pivots and their bands rise; one of infinite bounds follows the last. Items inside any band are
// listed in `close`, by rising index; the functions return how many.
template <typename Score>
struct CountRow {
    // peaks[i] = the highest score of block i.
    void (*peaks)(const Score* row, int64_t width, Score* peaks);
    // A few pivots: above[p] = #{j: row[j] > high[p]}.
    int64_t (*few)(const Score* row, int64_t width, const Score* peaks, const Score* low,
                   const Score* high, int64_t depth, int64_t* above, Close* close);
    // Many pivots: beyond[c] = #{j: exactly c pivots have high < row[j]}. base[b] counts the pivots
    // in steps before b and is marked where a band reaches into the step.
    int64_t (*many)(const Score* row, int64_t width, const Score* peaks, const Score* low,
                    const Score* high, Steps<Score> steps, const int32_t* base, int32_t* beyond,
                    Close* close);
};

struct CountKernels {
    CountRow<int32_t> fixed;
    CountRow<double> exact;
    // counts[i] += counts[0] + … + counts[i - 1].
    void (*add_up)(int32_t* counts, int64_t size);
    // out[i] = sum over k of query[k] * gallery[items[i] * size + k], in float64: in any order, and
    // strictly in order, which decides.
    void (*quick_dots)(const float* query, const float* gallery, int64_t size,
                       const int64_t* items, int64_t count, double* out);
    void (*exact_dots)(const float* query, const float* gallery, int64_t size,
                       const int64_t* items, int64_t count, double* out);
};

// One translation unit each, compiled from count_kernels.cpp with the flags of its name.
namespace baseline { extern const CountKernels count_kernels; }
namespace avx2 { extern const CountKernels count_kernels; }
namespace avx512 { extern const CountKernels count_kernels; }

}  // namespace lookalike
