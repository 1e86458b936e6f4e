// Sums and slopes of soft steps over a row. Plain loops that the compiler turns into vectors.
#include "soft_step.hpp"

namespace lookalike {
namespace LOOKALIKE_ISA {
namespace {

// Scores are taken a block at a time, so that all pivots see them while they are in the first cache.
constexpr int64_t kBlock = 512;
// Where even the best score of a block lies 25 temperatures below a pivot, a term is below 2e-11.
constexpr float kNothing = -25.0f;
constexpr int64_t kBuckets = 256;

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

// Where the curve ends above: beyond, the step is a line (of a sigmoid, the constant 1).
struct Line {
    float edge, slope, intercept;
};

template <bool kSigmoid>
inline Line line_of(const Step& step) {
    if constexpr (kSigmoid) return {-kNothing / step.inverse_tau, 0.0f, 1.0f};
    return {step.delta, step.rho, step.offset - step.rho * step.delta};
}

// Where the rising pivots lie on their line: places[b] of them come before bucket b of kBuckets.
struct Places {
    float low, scale;
    int32_t before[kBuckets + 2];
};

inline int64_t bucket_of(float value, const Places& places) {
    const float at = (value - places.low) * places.scale;
    if (!(at > 0.0f)) return 0;
    return at > kBuckets ? kBuckets : static_cast<int64_t>(at);
}

inline void lay_out(const float* pivots, int64_t depth, Places& places) {
    int64_t real = depth;
    while (real > 0 && pivots[real - 1] > 1.0e38f) --real;
    places.low = real > 0 ? pivots[0] : 0.0f;
    const float span = real > 0 ? pivots[real - 1] - pivots[0] : 0.0f;
    places.scale = span > 1e-20f ? (kBuckets - 1) / span : 0.0f;
    for (int64_t b = 0; b < kBuckets + 2; ++b) places.before[b] = 0;
    for (int64_t i = 0; i < real; ++i) ++places.before[bucket_of(pivots[i], places) + 1];
    for (int64_t b = 0; b < kBuckets + 1; ++b) places.before[b + 1] += places.before[b];
}

// The pivots that a score meets one by one, rounded outwards to buckets and whole vectors.
struct Window {
    int64_t first, last;
};

inline Window window_of(float s, const Places& places, float reach, float edge) {
    // A little wider than the edge: whether a score is beyond it is decided by the step itself.
    const float margin = 1e-5f * (1.0f + (s < 0.0f ? -s : s));
    const int64_t first = places.before[bucket_of(s - edge - margin, places)];
    const int64_t last = places.before[bucket_of(s + reach, places) + 1];
    return {first / kLanes * kLanes, padded_depth(last)};
}

inline void pad_pivots(const float* pivots, int64_t depth, int64_t padded, Scratch scratch) {
    for (int64_t i = 0; i < padded; ++i) {
        scratch.pivots[i] = i < depth ? pivots[i] : 3.0e38f;
        scratch.part[i] = 0.0f;
        scratch.total[i] = scratch.count[i] = scratch.score[i] = 0.0;
    }
    scratch.count[padded] = scratch.score[padded] = 0.0;
}

// Short sums in float, long ones in double.
inline void flush(int64_t padded, Scratch scratch) {
    for (int64_t i = 0; i < padded; ++i) {
        scratch.total[i] += scratch.part[i];
        scratch.part[i] = 0.0f;
    }
}

template <bool kSigmoid>
void many_sums_of(const float* row, int64_t width, const float* pivots, int64_t depth,
                  const Step& step, float* sums, Scratch scratch) {
    const int64_t padded = padded_depth(depth);
    const Line line = line_of<kSigmoid>(step);
    const float reach = -kNothing / step.inverse_tau;
    Places places;
    lay_out(pivots, depth, places);
    pad_pivots(pivots, depth, padded, scratch);
    for (int64_t j = 0; j < width; ++j) {
        const float s = row[j];
        const Window window = window_of(s, places, reach, line.edge);
        // All pivots before the window get the line: noted at its end, handed down below.
        if (window.first > 0) {
            scratch.count[window.first] += 1.0;
            scratch.score[window.first] += s;
        }
        for (int64_t at = window.first; at < window.last; at += kLanes) {
#pragma omp simd
            for (int64_t k = 0; k < kLanes; ++k)
                scratch.part[at + k] += soft_value<kSigmoid>(s - scratch.pivots[at + k], step);
        }
        if ((j + 1) % kBlock == 0) flush(padded, scratch);
    }
    flush(padded, scratch);
    double count = 0.0, score = 0.0;
    for (int64_t i = padded - 1; i >= 0; --i) {
        count += scratch.count[i + 1];
        score += scratch.score[i + 1];
        if (i >= depth) continue;
        const double far = count == 0.0 ? 0.0
                                        : line.slope * (score - count * scratch.pivots[i]) +
                                              count * line.intercept;
        sums[i] = static_cast<float>(scratch.total[i] + far);
    }
}

template <bool kSigmoid>
void many_slopes_of(float* row, int64_t width, const float* pivots, const float* weights,
                    int64_t depth, const Step& step, float* totals, Scratch scratch) {
    const int64_t padded = padded_depth(depth);
    const Line line = line_of<kSigmoid>(step);
    const float reach = -kNothing / step.inverse_tau;
    Places places;
    lay_out(pivots, depth, places);
    pad_pivots(pivots, depth, padded, scratch);
    double before = 0.0;
    for (int64_t i = 0; i < padded; ++i) {
        scratch.weights[i] = i < depth ? weights[i] : 0.0f;
        scratch.score[i] = before;  // the weights of all pivots before this one
        before += scratch.weights[i];
    }
    scratch.score[padded] = before;
    for (int64_t j = 0; j < width; ++j) {
        const float s = row[j];
        const Window window = window_of(s, places, reach, line.edge);
        scratch.count[window.first] += 1.0;
        float lanes[kLanes] = {};
        for (int64_t at = window.first; at < window.last; at += kLanes) {
#pragma omp simd
            for (int64_t k = 0; k < kLanes; ++k) {
                const float slope = soft_slope<kSigmoid>(s - scratch.pivots[at + k], step);
                scratch.part[at + k] += slope;
                lanes[k] += scratch.weights[at + k] * slope;
            }
        }
        double out = line.slope * scratch.score[window.first];
        for (int64_t k = 0; k < kLanes; ++k) out += lanes[k];
        row[j] = static_cast<float>(out);
        if ((j + 1) % kBlock == 0) flush(padded, scratch);
    }
    flush(padded, scratch);
    double count = 0.0;
    for (int64_t i = padded - 1; i >= 0; --i) {
        count += scratch.count[i + 1];
        if (i < depth) totals[i] = static_cast<float>(scratch.total[i] + count * line.slope);
    }
}

void many_sums(const float* row, int64_t width, const float* pivots, int64_t depth, Step step,
               float* sums, Scratch scratch) {
    is_sigmoid(step) ? many_sums_of<true>(row, width, pivots, depth, step, sums, scratch)
                     : many_sums_of<false>(row, width, pivots, depth, step, sums, scratch);
}

void many_slopes(float* row, int64_t width, const float* pivots, const float* weights,
                 int64_t depth, Step step, float* totals, Scratch scratch) {
    is_sigmoid(step)
        ? many_slopes_of<true>(row, width, pivots, weights, depth, step, totals, scratch)
        : many_slopes_of<false>(row, width, pivots, weights, depth, step, totals, scratch);
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
const StepKernels step_kernels = {sums, slopes, many_sums, many_slopes};

}  // namespace LOOKALIKE_ISA
}  // namespace lookalike
