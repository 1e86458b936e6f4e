// Two kernels on plain rows and matrices: soft histograms, and the symmetric part of a matrix.
#pragma once

#include <cstdint>

namespace lookalike {

struct RowKernels {
    // shares[q] = sum_j of the share that row[j] gives to bin q; bins run down from `high`.
    void (*histogram)(const float* row, int64_t width, float high, float density, int64_t bins,
                      float* shares);
    // row[j] <- table[bucket of row[j]]; bucket k lies between bins k - 1 and k.
    void (*look_up)(float* row, int64_t width, float high, float density, int64_t bins,
                    const float* table);
    // square += transpose(square), for the rows of blocks first .. last - 1 of `kTile` rows
    void (*add_transpose)(float* square, int64_t n, int64_t first, int64_t last);
};

constexpr int64_t kTile = 64;
constexpr int64_t kMostBins = 256;

namespace baseline { extern const RowKernels row_kernels; }
namespace avx2 { extern const RowKernels row_kernels; }
namespace avx512 { extern const RowKernels row_kernels; }

}  // namespace lookalike
