// What the positives of a query add to each other's ranks. See lookalike/ops/pair_sums.py.
#pragma once

#include <cstdint>

#include "steps.hpp"

namespace lookalike {

struct PairStep {
    enum Kind { kSoft = 0, kHeaviside = 1, kLowerBound = 2 };
    int kind;
    Step soft;
    float beta, gamma, leak;
};

// Which step item j takes against item i, by the level of j: below, equal or above that of i.
struct PairSteps {
    PairStep lower, peer, better;
};

struct PairKernels {
    // Rows are padded to whole vectors; scratch holds four of them.
    // sums[i] = sum over j != i of min(w[i], w[j]) step(s[j] - s[i]); without levels all are peers.
    void (*sums)(const float* s, const float* w, const float* level, int64_t depth,
                 const PairSteps& steps, float* sums, float* scratch);
    // out[j] = d (sum_i by_sum[i] sums[i]) / d s[j]
    void (*slopes)(const float* s, const float* w, const float* level, const float* by_sum,
                   int64_t depth, const PairSteps& steps, float* out, float* scratch);
};


namespace baseline { extern const PairKernels pair_kernels; }
namespace avx2 { extern const PairKernels pair_kernels; }
namespace avx512 { extern const PairKernels pair_kernels; }

}  // namespace lookalike
