// What the bindings share: array types, their checks, and the choice of an instruction set.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

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

}  // namespace lookalike
