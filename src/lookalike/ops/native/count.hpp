// Exact ranks from rows of approximate scores. See lookalike/ops/exact_ranks.py for the maths.
#pragma once

#include <cstdint>

namespace lookalike {

// Where pivots lie on the line of scores: equal steps from the lowest to the highest upper bound.
// base[b] counts the pivots in steps before b.
template <typename Score>
struct Steps {
    Score start, scale;
    int64_t size;
    const int32_t* base;
};

// Scores are taken a block at a time, so that all pivots see them while they are in the first cache.
constexpr int64_t kBlock = 512;

template <typename Score>
struct CountRow {
    // peaks[i] = the highest score of block i.
    void (*peaks)(const Score* row, int64_t width, Score* peaks);
    // A few pivots, any order: above[p] = #{j: row[j] > high[p]}, crowd[p] = #{j: low[p] <= row[j]
    // <= high[p]}. Items inside any band are listed in `close`, rising; returns how many.
    int64_t (*few)(const Score* row, int64_t width, const Score* peaks, const Score* low,
                   const Score* high, int64_t depth, int64_t* above, int64_t* crowd,
                   int64_t* close);
    // Many pivots, rising, and one of infinite bounds after the last: beyond[c] = #{j: exactly c
    // pivots have high < row[j]}.
    int64_t (*many)(const Score* row, int64_t width, const Score* peaks, const Score* low,
                    const Score* high, Steps<Score> steps, int32_t* beyond, int64_t* close);
};

// Whole tiles of exact scores: packed queries times a packed panel of the gallery.
struct TileKernel {
    int64_t rows, columns;  // of one step: queries and gallery items
    // out[r * stride + c] = sum over k, in order, of queries[k * rows + r] * panel[k * columns + c],
    // for r < used_rows, c < used_columns.
    void (*step)(const double* queries, const double* panel, int64_t size, double* out,
                 int64_t stride, int64_t used_rows, int64_t used_columns);
};

struct CountKernels {
    CountRow<float> single;
    CountRow<double> twice;
    // out[i] = sum over k of query[k] * gallery[items[i] * size + k], in float64: in any order, and
    // strictly in order, which decides.
    void (*quick_dots)(const float* query, const float* gallery, int64_t size,
                       const int64_t* items, int64_t count, double* out);
    void (*exact_dots)(const float* query, const float* gallery, int64_t size,
                       const int64_t* items, int64_t count, double* out);
    TileKernel tile;
};

// One translation unit each, compiled from count_kernels.cpp with the flags of its name.
namespace baseline { extern const CountKernels count_kernels; }
namespace avx2 { extern const CountKernels count_kernels; }
namespace avx512 { extern const CountKernels count_kernels; }

}  // namespace lookalike
