// Sums of steps over points on a line, in time (points + targets). The mathematics and the meaning of
// every number are in lookalike/ops/line_plans.py.
#pragma once

#include <cstdint>

namespace lookalike {

constexpr int64_t kNodes = 8;
constexpr int64_t kWide = 16;
constexpr int64_t kTerms = 3;

// Points in falling order, and their weights.
struct Points {
    const float *x, *w;
    int64_t size;
};

// Where scale * x + add passes `at`, the step gains constant + slope * x.
struct Cut {
    float at, scale, add;
    bool is_strict;
    double constant, slope;
};

// The sigmoid's part: kNodes x kNodes numbers for each distance of cells, from `first` on.
struct Curve {
    const float* table;
    int64_t first, count;
    double width, shift, beyond;
    bool is_cut;
    // Farther, it is tail[k] exp(-(k+1) |x| / tau), above 0 of the opposite sign if it is a value;
    // rise[k] are the powers of exp((k+1) u width / (2 tau)).
    double tau;
    bool is_slope;
    float tail[kTerms], rise[kTerms][kNodes];
    // If it is cut: of its own cell's table, for each power of v those of u.
    float cut[kNodes][kNodes];
};

constexpr int64_t kMostCuts = 3;

struct Plan {
    Cut cuts[kMostCuts];
    int64_t cut_count;
    Curve curve;
    bool has_curve;
};

// Neighbouring sources of one cell, and the weight of all before them. The sums of exp over the
// sources up to this cell, and from it on, are seen from its centre.
struct Cell {
    double id, above;
    int64_t first, last;
    float down[kTerms], up[kTerms];
};

// What one thread works in: room for the sources (kNodes numbers each, and one more of most) and the targets. No containers: kernels of different instruction sets must share no function.
struct LineRoom {
    float* suffixes;
    double *places, *weights, *scores;
    Cell* cells;
    int64_t cell_count;
    double* homes;
    int32_t* passed;
};

struct LineKernels {
    // sums[i] += sum_j w[j] step(x[j] - targets[i]); targets fall too, and kWide more can be read.
    // Unless slopes is null, the same of the step's derivative, whose curve is `slope`.
    void (*add)(Points sources, const float* targets, int64_t count, const Plan& plan,
                const Curve* slope, double* sums, double* slopes, LineRoom& room);
};

namespace baseline { extern const LineKernels line_kernels; }
namespace avx2 { extern const LineKernels line_kernels; }
namespace avx512 { extern const LineKernels line_kernels; }

}  // namespace lookalike
