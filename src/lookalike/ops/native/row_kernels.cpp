// Soft histograms by ramps, and the symmetric part of a matrix tile by tile.
#include "rows.hpp"

namespace lookalike {
namespace LOOKALIKE_ISA {
namespace {

constexpr int64_t kBlock = 1024;

// What bins 0 .. q hold together is a ramp of the score: 1 down to bin q, then falling to 0 at bin
// q + 1. Summing ramps needs no scatter, so every lane of a vector works.
void histogram(const float* row, int64_t width, float high, float density, int64_t bins,
               float* shares) {
    double ramps[kMostBins] = {};
    for (int64_t start = 0; start < width; start += kBlock) {
        const int64_t n = width - start < kBlock ? width - start : kBlock;
        const float* s = row + start;
        for (int64_t q = 0; q + 1 < bins; ++q) {
            const float edge = static_cast<float>(q + 1) - high * density;
            float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
            for (int64_t j = 0; j < n; ++j) {
                float ramp = s[j] * density + edge;
                ramp = ramp < 0.0f ? 0.0f : ramp;
                sum += ramp > 1.0f ? 1.0f : ramp;
            }
            ramps[q] += sum;
        }
    }
    ramps[bins - 1] = static_cast<double>(width);
    shares[0] = static_cast<float>(ramps[0]);
    for (int64_t q = 1; q < bins; ++q) shares[q] = static_cast<float>(ramps[q] - ramps[q - 1]);
}

void look_up(float* row, int64_t width, float high, float density, int64_t bins,
             const float* table) {
    const float most = static_cast<float>(bins);
#pragma omp simd
    for (int64_t j = 0; j < width; ++j) {
        float depth = (high - row[j]) * density + 1.0f;
        depth = depth < 0.0f ? 0.0f : depth;
        depth = depth > most ? most : depth;
        row[j] = table[static_cast<int32_t>(depth)];
    }
}

void add_tiles(float* square, int64_t n, int64_t top, int64_t left) {
    // A row of the buffer is a little longer than a tile: no two of its rows share a cache set.
    float buffer[kTile][kTile + 1];
    const int64_t height = n - top < kTile ? n - top : kTile;
    const int64_t width = n - left < kTile ? n - left : kTile;
    for (int64_t c = 0; c < width; ++c)
        for (int64_t r = 0; r < height; ++r) buffer[r][c] = square[(left + c) * n + top + r];
    for (int64_t r = 0; r < height; ++r)
        for (int64_t c = 0; c < width; ++c) buffer[r][c] += square[(top + r) * n + left + c];
    for (int64_t r = 0; r < height; ++r)
        for (int64_t c = 0; c < width; ++c) square[(top + r) * n + left + c] = buffer[r][c];
    for (int64_t c = 0; c < width; ++c)
        for (int64_t r = 0; r < height; ++r) square[(left + c) * n + top + r] = buffer[r][c];
}

void add_transpose(float* square, int64_t n, int64_t first, int64_t last) {
    for (int64_t top = first * kTile; top < last * kTile && top < n; top += kTile)
        for (int64_t left = top; left < n; left += kTile) add_tiles(square, n, top, left);
}

}  // namespace

extern const RowKernels row_kernels;
const RowKernels row_kernels = {histogram, look_up, add_transpose};

}  // namespace LOOKALIKE_ISA
}  // namespace lookalike
