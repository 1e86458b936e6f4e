// What the bindings share: array types, their checks, and the choice of an instruction set.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <cstdint>
#include <stdexcept>
#include <string>

namespace lookalike {

namespace nb = nanobind;

using Matrix = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using ConstMatrix = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

// The kernels of that name, from the namespace of that instruction set.
#if defined(LOOKALIKE_X86)
#define LOOKALIKE_SELECT(isa, name)                                             \
    ((isa) == "avx512" ? avx512::name                                           \
                       : (isa) == "avx2" ? avx2::name : baseline::name)
#else
#define LOOKALIKE_SELECT(isa, name) (baseline::name)
#endif

template <typename A, typename B>
void need_rows(const A& a, const B& b) {
    if (a.shape(0) != b.shape(0)) throw std::invalid_argument("arrays differ in rows");
}

template <typename A, typename B>
void need_same(const A& a, const B& b) {
    need_rows(a, b);
    if (a.shape(1) != b.shape(1)) throw std::invalid_argument("arrays differ in columns");
}

// Items of a row are numbered in 32 bits.
inline void need_countable(int64_t width) {
    if (width >= INT32_MAX) throw std::invalid_argument("over 2^31 items in a row");
}

// Where each row's items begin, and where the last row's end: rising from 0 to `count`.
inline void need_starts(const int64_t* starts, int64_t rows, int64_t count) {
    bool good = starts[0] == 0 && starts[rows] == count;
    for (int64_t i = 0; i < rows; ++i) good &= starts[i] <= starts[i + 1];
    if (!good) throw std::invalid_argument("starts do not rise from 0 to the number of items");
}

inline void need_within(const int64_t* values, int64_t count, int64_t end) {
    bool good = true;
    for (int64_t i = 0; i < count; ++i) good &= values[i] >= 0 && values[i] < end;
    if (!good) throw std::invalid_argument("an index is out of range");
}

}  // namespace lookalike
