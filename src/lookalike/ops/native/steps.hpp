// Sums and slopes of the soft step over rows of scores. See lookalike/ops/step_sums.py for the maths.
#pragma once

#include <cstdint>

namespace lookalike {

// x <= 0: sigmoid(x / tau); x <= delta: start + sigmoid(x / tau); beyond: rho (x - delta) + offset.
struct Step {
    float inverse_tau, start, delta, rho, offset;
};

constexpr int64_t kLanes = 16;
inline int64_t padded_depth(int64_t depth) { return (depth + kLanes - 1) / kLanes * kLanes; }

struct StepKernels {
    // sums[p] = sum_j step(row[j] - pivots[p])
    void (*sums)(const float* row, int64_t width, const float* pivots, int64_t depth, Step step,
                 float* sums);
    // row[j] <- sum_p weights[p] step'(row[j] - pivots[p]); totals[p] = sum_j step'(...)
    void (*slopes)(float* row, int64_t width, const float* pivots, const float* weights,
                   int64_t depth, Step step, float* totals);
};

// One translation unit each, compiled from step_kernels.cpp with the flags of its name.
namespace baseline { extern const StepKernels step_kernels; }
namespace avx2 { extern const StepKernels step_kernels; }
namespace avx512 { extern const StepKernels step_kernels; }

}  // namespace lookalike
