// Sums over pairs of positives of one query.
#include "pairs.hpp"
#include "soft_step.hpp"

namespace lookalike {
namespace LOOKALIKE_ISA {
namespace {

// Which items j a pass takes, against item i.
enum class Relation { kAny, kLower, kPeer, kBetter };

template <Relation relation>
inline bool holds(float other, float own) {
    if constexpr (relation == Relation::kLower) return other < own;
    if constexpr (relation == Relation::kPeer) return other == own;
    if constexpr (relation == Relation::kBetter) return other > own;
    return true;
}

template <int kind>
inline float value_of(float x, const PairStep& step) {
    if constexpr (kind == PairStep::kHeaviside) return x >= 0.0f ? 1.0f : 0.0f;
    if constexpr (kind == PairStep::kSoft) return soft_value<false>(x, step.soft);
    float above = step.beta * x + step.gamma;
    above = above > 1.0f || step.gamma > 1.0f ? 1.0f : above;
    return x > 0.0f ? above : step.leak * x;
}

template <int kind>
inline float slope_of(float x, const PairStep& step) {
    if constexpr (kind == PairStep::kHeaviside) return 0.0f;
    if constexpr (kind == PairStep::kSoft) return soft_slope<false>(x, step.soft);
    const bool is_flat = step.beta * x + step.gamma > 1.0f || step.gamma > 1.0f;
    return x > 0.0f ? (is_flat ? 0.0f : step.beta) : step.leak;
}

// The items of one query, padded with weight 0 to whole vectors so that no loop has a remainder.
struct Items {
    const float *s, *level;
    float* w;
    int64_t depth, padded;
};

template <int kind, Relation relation>
inline float sum_pairs(const Items& items, float own, float weight, float level,
                       const PairStep& step) {
    float sums[kLanes] = {};
    for (int64_t start = 0; start < items.padded; start += kLanes) {
#pragma omp simd
        for (int64_t k = 0; k < kLanes; ++k) {
            const int64_t j = start + k;
            float share = items.w[j] < weight ? items.w[j] : weight;
            share = holds<relation>(items.level[j], level) ? share : 0.0f;
            sums[k] += share * value_of<kind>(items.s[j] - own, step);
        }
    }
    float sum = 0.0f;
    for (int64_t k = 0; k < kLanes; ++k) sum += sums[k];
    return sum;
}

template <int kind, Relation relation>
inline float slope_pairs(const Items& items, float own, float weight, float level, float by_sum,
                         const PairStep& step, float* out) {
    float sums[kLanes] = {};
    for (int64_t start = 0; start < items.padded; start += kLanes) {
#pragma omp simd
        for (int64_t k = 0; k < kLanes; ++k) {
            const int64_t j = start + k;
            float share = items.w[j] < weight ? items.w[j] : weight;
            share = holds<relation>(items.level[j], level) ? share : 0.0f;
            const float slope = by_sum * share * slope_of<kind>(items.s[j] - own, step);
            out[j] += slope;
            sums[k] += slope;
        }
    }
    float sum = 0.0f;
    for (int64_t k = 0; k < kLanes; ++k) sum += sums[k];
    return sum;
}

// An item does not push itself: its weight is 0 while its own pairs are summed.
template <int kind, Relation relation>
void sum_pass(const Items& items, const PairStep& step, float* sums) {
    for (int64_t i = 0; i < items.depth; ++i) {
        const float weight = items.w[i];
        if (weight == 0.0f) continue;
        items.w[i] = 0.0f;
        sums[i] += sum_pairs<kind, relation>(items, items.s[i], weight, items.level[i], step);
        items.w[i] = weight;
    }
}

template <int kind, Relation relation>
void slope_pass(const Items& items, const float* by_sum, const PairStep& step, float* out) {
    for (int64_t i = 0; i < items.depth; ++i) {
        const float weight = items.w[i];
        if (weight == 0.0f || by_sum[i] == 0.0f) continue;
        items.w[i] = 0.0f;
        out[i] -= slope_pairs<kind, relation>(items, items.s[i], weight, items.level[i], by_sum[i],
                                              step, out);
        items.w[i] = weight;
    }
}

template <Relation relation>
void sum_kind(const Items& items, const PairStep& step, float* sums) {
    if (step.kind == PairStep::kSoft)
        sum_pass<PairStep::kSoft, relation>(items, step, sums);
    else if (step.kind == PairStep::kHeaviside)
        sum_pass<PairStep::kHeaviside, relation>(items, step, sums);
    else
        sum_pass<PairStep::kLowerBound, relation>(items, step, sums);
}

template <Relation relation>
void slope_kind(const Items& items, const float* by_sum, const PairStep& step, float* out) {
    if (step.kind == PairStep::kSoft)
        slope_pass<PairStep::kSoft, relation>(items, by_sum, step, out);
    else if (step.kind == PairStep::kLowerBound)
        slope_pass<PairStep::kLowerBound, relation>(items, by_sum, step, out);
}

Items pad(const float* s, const float* w, const float* level, int64_t depth, float* scratch) {
    const int64_t padded = padded_depth(depth);
    float *padded_s = scratch, *padded_w = scratch + padded, *padded_level = scratch + 2 * padded;
    for (int64_t j = 0; j < padded; ++j) {
        padded_s[j] = j < depth ? s[j] : s[0];
        padded_w[j] = j < depth ? w[j] : 0.0f;
        padded_level[j] = j < depth && level != nullptr ? level[j] : 0.0f;
    }
    return {padded_s, padded_level, padded_w, depth, padded};
}

void sums(const float* s, const float* w, const float* level, int64_t depth,
          const PairSteps& steps, float* out, float* scratch) {
    const Items items = pad(s, w, level, depth, scratch);
    for (int64_t i = 0; i < depth; ++i) out[i] = 0.0f;
    if (level == nullptr) {
        sum_kind<Relation::kAny>(items, steps.peer, out);
        return;
    }
    sum_kind<Relation::kLower>(items, steps.lower, out);
    sum_kind<Relation::kPeer>(items, steps.peer, out);
    sum_kind<Relation::kBetter>(items, steps.better, out);
}

void slopes(const float* s, const float* w, const float* level, const float* by_sum, int64_t depth,
            const PairSteps& steps, float* out, float* scratch) {
    const Items items = pad(s, w, level, depth, scratch);
    float* padded_out = scratch + 3 * items.padded;
    for (int64_t j = 0; j < items.padded; ++j) padded_out[j] = 0.0f;
    if (level == nullptr) {
        slope_kind<Relation::kAny>(items, by_sum, steps.peer, padded_out);
    } else {
        slope_kind<Relation::kLower>(items, by_sum, steps.lower, padded_out);
        slope_kind<Relation::kPeer>(items, by_sum, steps.peer, padded_out);
        slope_kind<Relation::kBetter>(items, by_sum, steps.better, padded_out);
    }
    for (int64_t j = 0; j < depth; ++j) out[j] = padded_out[j];
}

}  // namespace

extern const PairKernels pair_kernels;
const PairKernels pair_kernels = {sums, slopes};

}  // namespace LOOKALIKE_ISA
}  // namespace lookalike
