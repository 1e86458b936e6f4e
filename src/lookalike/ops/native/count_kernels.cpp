// Compiled once per instruction set (LOOKALIKE_ISA names the namespace). Nothing of the standard
// library is instantiated here: an inline function compiled for AVX-512 could be the copy that the
// linker keeps for every processor.
#include "count.hpp"

#if defined(__AVX__)
#include <immintrin.h>
#endif

namespace lookalike {
namespace LOOKALIKE_ISA {
namespace {

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
int64_t few(const Score* row, int64_t width, const Score* peaks, const Score* low,
            const Score* high, int64_t depth, int64_t* above, Close* close) {
    int64_t found = 0;
    unsigned char inside[kBlock];
    for (int64_t from = 0; from < width; from += kBlock) {
        const int64_t n = width - from < kBlock ? width - from : kBlock;
        const Score* s = row + from;
        const Score peak = peaks[from / kBlock];
        bool any = false;
        for (int64_t p = 0; p < depth && low[p] <= peak; ++p) {
            const Score a = low[p], b = high[p];
            int32_t over = 0, reach = 0;
#pragma omp simd reduction(+ : over, reach)
            for (int64_t j = 0; j < n; ++j) {
                over += s[j] > b;
                reach += s[j] >= a;
            }
            above[p] += over;
            if (reach == over) continue;
            if (!any) {
                for (int64_t j = 0; j < n; ++j) inside[j] = s[j] >= a && s[j] <= b;
                any = true;
            } else {
                for (int64_t j = 0; j < n; ++j) inside[j] |= s[j] >= a && s[j] <= b;
            }
        }
        if (!any) continue;
        for (int64_t j = 0; j < n; ++j) {
            if (!inside[j]) continue;
            int32_t pivot = 0;
            while (high[pivot] < s[j]) ++pivot;
            close[found++] = {static_cast<int32_t>(from + j), pivot};
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
             const Score* high, Steps<Score> steps, const int32_t* base, int32_t* beyond,
             Close* close) {
    int64_t found = 0;
    int32_t step[kBlock], marked[kBlock + 1];
    for (int64_t from = 0; from < width; from += kBlock) {
        const int64_t n = width - from < kBlock ? width - from : kBlock;
        const Score* s = row + from;
        if (peaks[from / kBlock] < low[0]) {
            beyond[0] += static_cast<int32_t>(n);
            continue;
        }
        for (int64_t j = 0; j < n; ++j) step[j] = steps(s[j]);
        // In most steps no pivot is near: the table alone tells how many lie below.
        int64_t near = 0;
        for (int64_t j = 0; j < n; ++j) {
            const int32_t c = base[step[j]];
            ++beyond[c & ~kMarked];
            marked[near] = static_cast<int32_t>(j);
            near += static_cast<uint32_t>(c) >> 31;
        }
        for (int64_t i = 0; i < near; ++i) {
            const int32_t j = marked[i];
            const Score value = s[j];
            const int32_t lowest = base[step[j]] & ~kMarked;
            int32_t c = lowest;
            // A step holds hardly more than two pivots; guessing where would cost more than adding.
            c += high[c] < value;
            c += high[c] < value;
            if (high[c] < value) c = first_reaching(high, c + 1, base[step[j] + 1] & ~kMarked, value);
            close[found] = {static_cast<int32_t>(from + j), c};
            found += low[c] <= value;
            --beyond[lowest];
            ++beyond[c];
        }
    }
    return found;
}

void add_up(int32_t* counts, int64_t size) {
    int32_t sum = 0;
#pragma omp simd reduction(inscan, + : sum)
    for (int64_t i = 0; i < size; ++i) {
        sum += counts[i];
#pragma omp scan inclusive(sum)
        counts[i] = sum;
    }
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

// In any order, several items at a time: the query is widened once for all of them.
template <int kCount>
void quick_group(const float* query, const float* gallery, int64_t size, const int64_t* items,
                 double* out) {
    const float* g[kCount];
    double sum[kCount] = {};
    for (int t = 0; t < kCount; ++t) g[t] = gallery + items[t] * size;
    int64_t k = 0;
#if defined(__AVX512F__)
    __m512d sums[kCount] = {};
    for (; k + 8 <= size; k += 8) {
        const __m512d q = _mm512_cvtps_pd(_mm256_loadu_ps(query + k));
        for (int t = 0; t < kCount; ++t)
            sums[t] = _mm512_fmadd_pd(q, _mm512_cvtps_pd(_mm256_loadu_ps(g[t] + k)), sums[t]);
    }
    for (int t = 0; t < kCount; ++t) sum[t] = _mm512_reduce_add_pd(sums[t]);
#elif defined(__FMA__)
    __m256d sums[kCount] = {};
    for (; k + 4 <= size; k += 4) {
        const __m256d q = _mm256_cvtps_pd(_mm_loadu_ps(query + k));
        for (int t = 0; t < kCount; ++t)
            sums[t] = _mm256_fmadd_pd(q, _mm256_cvtps_pd(_mm_loadu_ps(g[t] + k)), sums[t]);
    }
    for (int t = 0; t < kCount; ++t) sum[t] = (sums[t][0] + sums[t][1]) + (sums[t][2] + sums[t][3]);
#endif
    for (; k < size; ++k)
        for (int t = 0; t < kCount; ++t)
            sum[t] += static_cast<double>(query[k]) * static_cast<double>(g[t][k]);
    for (int t = 0; t < kCount; ++t) out[t] = sum[t];
}

void quick_dots(const float* query, const float* gallery, int64_t size, const int64_t* items,
                int64_t count, double* out) {
    int64_t i = 0;
    for (; i + 4 <= count; i += 4) quick_group<4>(query, gallery, size, items + i, out + i);
    if (count - i == 3) quick_group<3>(query, gallery, size, items + i, out + i);
    if (count - i == 2) quick_group<2>(query, gallery, size, items + i, out + i);
    if (count - i == 1) quick_group<1>(query, gallery, size, items + i, out + i);
}

void exact_dots(const float* query, const float* gallery, int64_t size, const int64_t* items,
                int64_t count, double* out) {
    int64_t i = 0;
    for (; i + kTogether <= count; i += kTogether)
        dot_group<kTogether>(query, gallery, size, items + i, out + i);
    for (; i < count; ++i) dot_group<1>(query, gallery, size, items + i, out + i);
}

}  // namespace

extern const CountKernels count_kernels;
const CountKernels count_kernels = {{find_peaks<int32_t>, few<int32_t>, many<int32_t>},
                                    {find_peaks<double>, few<double>, many<double>},
                                    add_up,
                                    quick_dots,
                                    exact_dots};

}  // namespace LOOKALIKE_ISA
}  // namespace lookalike
