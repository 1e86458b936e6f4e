// Compiled once per instruction set (LOOKALIKE_ISA names the namespace). Nothing of the standard
// library is instantiated here: an inline function compiled for AVX-512 could be the copy that the
// linker keeps for every processor.
#include "tiles.hpp"

#if defined(__AVX__)
#include <immintrin.h>
#endif

namespace lookalike {
namespace LOOKALIKE_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kBytes = 64, kExactRows = 8, kFixedRows = 12, kFixedVectors = 1;
#elif defined(__AVX__)
constexpr int kBytes = 32, kExactRows = 4, kFixedRows = 6, kFixedVectors = 2;
#else
constexpr int kBytes = 16, kExactRows = 4, kFixedRows = 4, kFixedVectors = 2;
#endif
constexpr int kDoubles = kBytes / 8, kFloats = kBytes / 4;
constexpr int kExactVectors = 3;
constexpr int kExactColumns = kExactVectors * kDoubles, kFixedColumns = kFixedVectors * kFloats;

typedef double Doubles __attribute__((vector_size(kBytes), aligned(8)));
typedef float Floats __attribute__((vector_size(kBytes), aligned(4)));
typedef int32_t Wholes __attribute__((vector_size(kBytes), aligned(4)));

// Every sum stays in its register from the first dimension to the last, so the order is the exact
// one; a library's product cuts the dimensions into pieces.
void exact_step(const double* queries, const double* panel, int64_t size, double* out,
                int64_t stride, int64_t used_rows, int64_t used_columns) {
    Doubles sum[kExactRows][kExactVectors] = {};
    for (int64_t k = 0; k < size; ++k) {
        Doubles g[kExactVectors];
        for (int v = 0; v < kExactVectors; ++v)
            g[v] = *reinterpret_cast<const Doubles*>(panel + k * kExactColumns + v * kDoubles);
        for (int r = 0; r < kExactRows; ++r) {
            const double q = queries[k * kExactRows + r];
            for (int v = 0; v < kExactVectors; ++v) sum[r][v] += q * g[v];
        }
    }
    for (int64_t r = 0; r < used_rows; ++r)
        for (int64_t c = 0; c < used_columns; ++c)
            out[r * stride + c] = sum[r][c / kDoubles][c % kDoubles];
}

// Rounds to the nearest whole number, which fits.
inline Wholes nearest(Floats x) {
#if defined(__AVX512F__)
    return reinterpret_cast<Wholes>(_mm512_cvtps_epi32(reinterpret_cast<__m512>(x)));
#elif defined(__AVX__)
    return reinterpret_cast<Wholes>(_mm256_cvtps_epi32(reinterpret_cast<__m256>(x)));
#else
    Wholes whole;
    for (int i = 0; i < kFloats; ++i) whole[i] = static_cast<int32_t>(__builtin_rintf(x[i]));
    return whole;
#endif
}

inline Floats multiply_add(Floats a, Floats b, Floats c) {
#if defined(__AVX512F__)
    return reinterpret_cast<Floats>(_mm512_fmadd_ps(reinterpret_cast<__m512>(a),
                                                    reinterpret_cast<__m512>(b),
                                                    reinterpret_cast<__m512>(c)));
#elif defined(__FMA__)
    return reinterpret_cast<Floats>(_mm256_fmadd_ps(reinterpret_cast<__m256>(a),
                                                    reinterpret_cast<__m256>(b),
                                                    reinterpret_cast<__m256>(c)));
#else
    return a * b + c;
#endif
}

// A product joins the float32 sum of four and is rounded with it at every addition yet to come; whole
// numbers add without any rounding. The conversions and their additions leave the multipliers free.
void fixed_step(const float* queries, const float* panel, int64_t size, int32_t* out,
                int64_t stride, int64_t used_rows, int64_t used_columns) {
    Wholes total[kFixedRows][kFixedVectors] = {};
    for (int64_t chunk = 0; chunk < size; chunk += kChunk) {
        Floats sum[kFixedRows][kFixedVectors];
#pragma GCC unroll 4
        for (int k = 0; k < kChunk; ++k) {
            Floats g[kFixedVectors];
            for (int v = 0; v < kFixedVectors; ++v)
                g[v] = *reinterpret_cast<const Floats*>(panel + v * kFloats);
            for (int r = 0; r < kFixedRows; ++r) {
                const Floats q = queries[r] - Floats{};
                for (int v = 0; v < kFixedVectors; ++v)
                    sum[r][v] = k == 0 ? q * g[v] : multiply_add(q, g[v], sum[r][v]);
            }
            queries += kFixedRows;
            panel += kFixedColumns;
        }
        for (int r = 0; r < kFixedRows; ++r)
            for (int v = 0; v < kFixedVectors; ++v) total[r][v] += nearest(sum[r][v]);
    }
    if (used_columns == kFixedColumns) {
        for (int64_t r = 0; r < used_rows; ++r)
            for (int v = 0; v < kFixedVectors; ++v)
                *reinterpret_cast<Wholes*>(out + r * stride + v * kFloats) = total[r][v];
        return;
    }
    for (int64_t r = 0; r < used_rows; ++r)
        for (int64_t c = 0; c < used_columns; ++c)
            out[r * stride + c] = total[r][c / kFloats][c % kFloats];
}

}  // namespace

extern const TileKernels tile_kernels;
const TileKernels tile_kernels = {{kExactRows, kExactColumns, exact_step},
                                  {kFixedRows, kFixedColumns, fixed_step},
#if defined(__FMA__)
                                  {4, 3, 2, 1}};  // the first of four sums has all the others to come
#else
                                  {4, 4, 3, 2}};  // and each product is rounded alone
#endif

}  // namespace LOOKALIKE_ISA
}  // namespace lookalike
