// Sums and slopes of soft steps over a row. Plain loops that the compiler turns into vectors.
#include "soft_step.hpp"

namespace lookalike {
namespace LOOKALIKE_ISA {
namespace {

// Scores are taken a block at a time, so that all pivots see them while they are in the first cache.
constexpr int64_t kBlock = 512;
// Where even the best score of a block lies 25 temperatures below a pivot, a term is below 2e-11.
constexpr float kNothing = -25.0f;

inline float highest(const float* s, int64_t n) {
    float best = s[0];
#pragma omp simd reduction(max : best)
    for (int64_t j = 0; j < n; ++j) best = s[j] > best ? s[j] : best;
    return best;
}

template <bool kSigmoid>
inline float sum_block(const float* s, int64_t n, float pivot, const Step& step) {
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < n; ++j) sum += soft_value<kSigmoid>(s[j] - pivot, step);
    return sum;
}

template <bool kSigmoid>
inline float slope_block(const float* s, int64_t n, float pivot, float weight, const Step& step,
                         float* out) {
    float total = 0.0f;
#pragma omp simd reduction(+ : total)
    for (int64_t j = 0; j < n; ++j) {
        const float slope = soft_slope<kSigmoid>(s[j] - pivot, step);
        total += slope;
        out[j] += weight * slope;
    }
    return total;
}

template <bool kSigmoid>
void sums_of(const float* row, int64_t width, const float* pivots, int64_t depth, const Step& step,
             float* sums) {
    for (int64_t p = 0; p < depth; ++p) sums[p] = 0.0f;
    for (int64_t start = 0; start < width; start += kBlock) {
        const int64_t n = width - start < kBlock ? width - start : kBlock;
        const float best = highest(row + start, n);
        for (int64_t p = 0; p < depth; ++p) {
            if ((best - pivots[p]) * step.inverse_tau < kNothing) continue;
            sums[p] += sum_block<kSigmoid>(row + start, n, pivots[p], step);
        }
    }
}

template <bool kSigmoid>
void slopes_of(float* row, int64_t width, const float* pivots, const float* weights, int64_t depth,
               const Step& step, float* totals) {
    alignas(64) float scores[kBlock];
    alignas(64) float out[kBlock];
    for (int64_t p = 0; p < depth; ++p) totals[p] = 0.0f;
    for (int64_t start = 0; start < width; start += kBlock) {
        const int64_t n = width - start < kBlock ? width - start : kBlock;
        std::memcpy(scores, row + start, n * sizeof(float));
        std::memset(out, 0, sizeof out);
        const float best = highest(scores, n);
        for (int64_t p = 0; p < depth; ++p) {
            if ((best - pivots[p]) * step.inverse_tau < kNothing) continue;
            totals[p] += slope_block<kSigmoid>(scores, n, pivots[p], weights[p], step, out);
        }
        std::memcpy(row + start, out, n * sizeof(float));
    }
}

void sums(const float* row, int64_t width, const float* pivots, int64_t depth, Step step,
          float* out) {
    is_sigmoid(step) ? sums_of<true>(row, width, pivots, depth, step, out)
                     : sums_of<false>(row, width, pivots, depth, step, out);
}

void slopes(float* row, int64_t width, const float* pivots, const float* weights, int64_t depth,
            Step step, float* totals) {
    is_sigmoid(step) ? slopes_of<true>(row, width, pivots, weights, depth, step, totals)
                     : slopes_of<false>(row, width, pivots, weights, depth, step, totals);
}

}  // namespace

extern const StepKernels step_kernels;
const StepKernels step_kernels = {sums, slopes};

}  // namespace LOOKALIKE_ISA
}  // namespace lookalike
