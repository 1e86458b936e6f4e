// Whole tiles of scores: packed queries times a packed panel of the gallery, in registers.
#pragma once

#include <cstdint>

namespace lookalike {

// Dimensions summed in float32 before the sum joins a whole number; see lookalike/ops/tiles.py.
constexpr int64_t kChunk = 4;

template <typename In, typename Out>
struct TileStep {
    int64_t rows, columns;  // of one step: queries and gallery items
    // out[r * stride + c] = sum over k of queries[k * rows + r] * panel[k * columns + c],
    // for r < used_rows, c < used_columns.
    void (*run)(const In* queries, const In* panel, int64_t size, Out* out, int64_t stride,
                int64_t used_rows, int64_t used_columns);
};

struct TileKernels {
    TileStep<double, double> exact;  // strictly in the order of k
    TileStep<float, int32_t> fixed;  // size divides by kChunk; rounded to whole numbers
    int roundings[kChunk];           // in float32, of each product of a chunk of `fixed`
};

// One translation unit each, compiled from tile_kernels.cpp with the flags of its name.
namespace baseline { extern const TileKernels tile_kernels; }
namespace avx2 { extern const TileKernels tile_kernels; }
namespace avx512 { extern const TileKernels tile_kernels; }

}  // namespace lookalike
