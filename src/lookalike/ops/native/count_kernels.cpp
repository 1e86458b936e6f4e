// Compiled once per instruction set (LOOKALIKE_ISA names the namespace). Nothing of the standard
// library is instantiated here: an inline function compiled for AVX-512 could be the copy that the
// linker keeps for every processor.
#include "count.hpp"

namespace lookalike {
namespace LOOKALIKE_ISA {
namespace {

constexpr int64_t kAhead = 2;
constexpr int kTogether = 8;  // dot products summed side by side, to hide the latency of an addition

template <typename Score>
Score highest(const Score* s, int64_t n) {
    Score best = s[0];
#pragma omp simd reduction(max : best)
    for (int64_t j = 0; j < n; ++j) best = s[j] > best ? s[j] : best;
    return best;
}

template <typename Score>
void find_peaks(const Score* row, int64_t width, Score* peaks) {
    for (int64_t from = 0; from < width; from += kBlock)
        peaks[from / kBlock] = highest(row + from, width - from < kBlock ? width - from : kBlock);
}

template <typename Score>
Score least(const Score* s, int64_t n) {
    Score best = s[0];
    for (int64_t j = 1; j < n; ++j) best = s[j] < best ? s[j] : best;
    return best;
}

template <typename Score>
int64_t few(const Score* row, int64_t width, const Score* peaks, const Score* low,
            const Score* high, int64_t depth, int64_t* above, int64_t* crowd, int64_t* close) {
    int64_t found = 0;
    const Score weakest = least(low, depth);
    unsigned char inside[kBlock];
    for (int64_t from = 0; from < width; from += kBlock) {
        const int64_t n = width - from < kBlock ? width - from : kBlock;
        const Score* s = row + from;
        if (peaks[from / kBlock] < weakest) continue;
        bool any = false;
        for (int64_t p = 0; p < depth; ++p) {
            const Score a = low[p], b = high[p];
            int32_t over = 0, reach = 0;
#pragma omp simd reduction(+ : over, reach)
            for (int64_t j = 0; j < n; ++j) {
                over += s[j] > b;
                reach += s[j] >= a;
            }
            above[p] += over;
            if (reach == over) continue;
            crowd[p] += reach - over;
            if (!any) {
                for (int64_t j = 0; j < n; ++j) inside[j] = s[j] >= a && s[j] <= b;
                any = true;
            } else {
                for (int64_t j = 0; j < n; ++j) inside[j] |= s[j] >= a && s[j] <= b;
            }
        }
        if (!any) continue;
        for (int64_t j = 0; j < n; ++j) {
            close[found] = from + j;
            found += inside[j];
        }
    }
    return found;
}

// The first pivot from `from` to `to` whose upper bound is not below the value, or `to`.
template <typename Score>
int32_t first_reaching(const Score* high, int32_t from, int32_t to, Score value) {
    while (from < to) {
        const int32_t middle = from + (to - from) / 2;
        if (high[middle] < value) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return from;
}

template <typename Score>
int64_t many(const Score* row, int64_t width, const Score* peaks, const Score* low,
             const Score* high, Steps<Score> steps, int32_t* beyond, int64_t* close) {
    int64_t found = 0;
    int32_t step[kBlock];
    for (int64_t from = 0; from < width; from += kBlock) {
        const int64_t n = width - from < kBlock ? width - from : kBlock;
        const Score* s = row + from;
        if (peaks[from / kBlock] < low[0]) {
            beyond[0] += static_cast<int32_t>(n);
            continue;
        }
        const Score top = static_cast<Score>(steps.size - 1);
        for (int64_t j = 0; j < n; ++j) {
            Score place = (s[j] - steps.start) * steps.scale;
            place = place > Score(0) ? place : Score(0);
            place = place < top ? place : top;
            step[j] = static_cast<int32_t>(place);
        }
        for (int64_t j = 0; j < n; ++j) {
            const Score value = s[j];
            int32_t c = steps.base[step[j]];
            // A step holds hardly more than two pivots; guessing where would cost more than adding.
            c += high[c] < value;
            c += high[c] < value;
            if (high[c] < value) c = first_reaching(high, c + 1, steps.base[step[j] + 1], value);
            close[found] = from + j;
            found += low[c] <= value;
            ++beyond[c];
        }
    }
    return found;
}

template <int kCount>
void dot_group(const float* query, const float* gallery, int64_t size, const int64_t* items,
               double* out) {
    const float* g[kCount];
    double sum[kCount];
    for (int t = 0; t < kCount; ++t) {
        g[t] = gallery + items[t] * size;
        sum[t] = 0.0;
    }
    // The product of two floats is exact in double, so fused or not, the bits are the same.
    for (int64_t k = 0; k < size; ++k) {
        const double q = query[k];
        for (int t = 0; t < kCount; ++t) sum[t] += q * static_cast<double>(g[t][k]);
    }
    for (int t = 0; t < kCount; ++t) out[t] = sum[t];
}

void quick_dots(const float* query, const float* gallery, int64_t size, const int64_t* items,
                int64_t count, double* out) {
    for (int64_t i = 0; i < count; ++i) {
        const float* g = gallery + items[i] * size;
        if (i + kAhead < count) {  // the items lie anywhere in the gallery: ask for the next in time
            const float* next = gallery + items[i + kAhead] * size;
            for (int64_t k = 0; k < size; k += 16) __builtin_prefetch(next + k);
        }
        double sum = 0.0;
#pragma omp simd reduction(+ : sum)
        for (int64_t k = 0; k < size; ++k)
            sum += static_cast<double>(query[k]) * static_cast<double>(g[k]);
        out[i] = sum;
    }
}

void exact_dots(const float* query, const float* gallery, int64_t size, const int64_t* items,
                int64_t count, double* out) {
    int64_t i = 0;
    for (; i + kTogether <= count; i += kTogether)
        dot_group<kTogether>(query, gallery, size, items + i, out + i);
    for (; i < count; ++i) dot_group<1>(query, gallery, size, items + i, out + i);
}

#if defined(__AVX512F__)
constexpr int kLanes = 8, kTileRows = 8;
#elif defined(__AVX__)
constexpr int kLanes = 4, kTileRows = 4;
#else
constexpr int kLanes = 2, kTileRows = 4;
#endif
constexpr int kVectors = 3, kTileColumns = kVectors * kLanes;
typedef double Lanes __attribute__((vector_size(kLanes * sizeof(double)), aligned(8)));

// Every sum stays in its register from the first dimension to the last, so the order is the exact
// one; a library's product cuts the dimensions into pieces.
void tile_step(const double* queries, const double* panel, int64_t size, double* out,
               int64_t stride, int64_t used_rows, int64_t used_columns) {
    Lanes sum[kTileRows][kVectors] = {};
    for (int64_t k = 0; k < size; ++k) {
        Lanes g[kVectors];
        for (int v = 0; v < kVectors; ++v)
            g[v] = *reinterpret_cast<const Lanes*>(panel + k * kTileColumns + v * kLanes);
        for (int r = 0; r < kTileRows; ++r) {
            const double q = queries[k * kTileRows + r];
            for (int v = 0; v < kVectors; ++v) sum[r][v] += q * g[v];
        }
    }
    for (int64_t r = 0; r < used_rows; ++r)
        for (int64_t c = 0; c < used_columns; ++c)
            out[r * stride + c] = sum[r][c / kLanes][c % kLanes];
}

}  // namespace

extern const CountKernels count_kernels;
const CountKernels count_kernels = {{find_peaks<float>, few<float>, many<float>},
                                    {find_peaks<double>, few<double>, many<double>},
                                    quick_dots,
                                    exact_dots,
                                    {kTileRows, kTileColumns, tile_step}};

}  // namespace LOOKALIKE_ISA
}  // namespace lookalike
