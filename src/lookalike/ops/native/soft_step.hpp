// The soft step of one difference, in the namespace of an instruction set. Included by kernels only.
#pragma once

#include <cstdint>
#include <cstring>

#include "steps.hpp"

namespace lookalike {
namespace LOOKALIKE_ISA {
namespace {

inline float bits_to_float(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

inline uint32_t float_to_bits(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

// exp(x) for |x| <= 87: x = n ln 2 + r, |r| <= ln(2)/2, Taylor series to the sixth power (2e-8).
inline float exponential(float x) {
    constexpr float shift = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
    const float t = x * 1.44269504089f + shift;
    const float n = t - shift;
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    return bits_to_float(float_to_bits(p) + (float_to_bits(t) << 23));
}

inline float sigmoid(float z) {
    z = z < -87.0f ? -87.0f : z;
    z = z > 87.0f ? 87.0f : z;
    return 1.0f / (1.0f + exponential(-z));
}

template <bool kSigmoid>
inline float soft_value(float x, const Step& step) {
    float value = sigmoid(x * step.inverse_tau);
    if constexpr (!kSigmoid) {
        value += x > 0.0f ? step.start : 0.0f;
        const float line = step.rho * (x - step.delta) + step.offset;
        value = x > step.delta ? line : value;
    }
    return value;
}

template <bool kSigmoid>
inline float soft_slope(float x, const Step& step) {
    const float near = sigmoid(x * step.inverse_tau);
    float slope = (near - near * near) * step.inverse_tau;
    if constexpr (!kSigmoid) slope = x > step.delta ? step.rho : slope;
    return slope;
}

inline bool is_sigmoid(const Step& step) {
    return step.start == 0.0f && step.delta > 3.0e38f;
}

}  // namespace
}  // namespace LOOKALIKE_ISA
}  // namespace lookalike
