// The Python face of the pair kernels.
#include "pairs.hpp"

#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>

#include <array>
#include <optional>
#include <vector>

#include "arrays.hpp"
#include "threads.hpp"

namespace lookalike {
namespace {

// kind, then tau, start, delta, rho, offset of a soft step, or beta, gamma, leak of a lower bound.
using Numbers = std::array<double, 6>;

PairStep make_step(const Numbers& n) {
    PairStep step = {};
    step.kind = static_cast<int>(n[0]);
    if (step.kind == PairStep::kSoft)
        step.soft = {static_cast<float>(1.0 / n[1]), static_cast<float>(n[2]),
                     static_cast<float>(n[3]), static_cast<float>(n[4]), static_cast<float>(n[5])};
    step.beta = static_cast<float>(n[1]);
    step.gamma = static_cast<float>(n[2]);
    step.leak = static_cast<float>(n[3]);
    return step;
}

void pair_sums(ConstMatrix pivots, ConstMatrix weights, std::optional<ConstMatrix> level,
               Matrix out, const Numbers& lower, const Numbers& peer, const Numbers& better,
               const std::string& isa, int threads) {
    need_same(pivots, weights);
    need_same(pivots, out);
    if (level) need_same(pivots, *level);
    const PairKernels& kernel = LOOKALIKE_SELECT(isa, pair_kernels);
    const PairSteps steps = {make_step(lower), make_step(peer), make_step(better)};
    const int64_t depth = pivots.shape(1);
    const float *s = pivots.data(), *w = weights.data(), *l = level ? level->data() : nullptr;
    float* o = out.data();
    nb::gil_scoped_release free;
    share_rows(pivots.shape(0), depth * depth, threads, [=, &kernel](int64_t first, int64_t last) {
        std::vector<float> scratch(4 * padded_depth(depth));
        for (int64_t at = first * depth; at < last * depth; at += depth)
            kernel.sums(s + at, w + at, l ? l + at : nullptr, depth, steps, o + at,
                        scratch.data());
    });
}

void pair_slopes(ConstMatrix pivots, ConstMatrix weights, std::optional<ConstMatrix> level,
                 ConstMatrix by_sum, Matrix out, const Numbers& lower, const Numbers& peer,
                 const Numbers& better, const std::string& isa, int threads) {
    need_same(pivots, weights);
    need_same(pivots, by_sum);
    need_same(pivots, out);
    if (level) need_same(pivots, *level);
    const PairKernels& kernel = LOOKALIKE_SELECT(isa, pair_kernels);
    const PairSteps steps = {make_step(lower), make_step(peer), make_step(better)};
    const int64_t depth = pivots.shape(1);
    const float *s = pivots.data(), *w = weights.data(), *l = level ? level->data() : nullptr;
    const float* g = by_sum.data();
    float* o = out.data();
    nb::gil_scoped_release free;
    share_rows(pivots.shape(0), depth * depth, threads, [=, &kernel](int64_t first, int64_t last) {
        std::vector<float> scratch(4 * padded_depth(depth));
        for (int64_t at = first * depth; at < last * depth; at += depth)
            kernel.slopes(s + at, w + at, l ? l + at : nullptr, g + at, depth, steps, o + at,
                          scratch.data());
    });
}

}  // namespace

void bind_pairs(nb::module_& module) {
    module.def("pair_sums", &pair_sums, nb::arg("pivots"), nb::arg("weights"),
               nb::arg("level").none(), nb::arg("out").noconvert(), nb::arg("lower"),
               nb::arg("peer"), nb::arg("better"), nb::arg("isa"), nb::arg("threads"));
    module.def("pair_slopes", &pair_slopes, nb::arg("pivots"), nb::arg("weights"),
               nb::arg("level").none(), nb::arg("by_sum"), nb::arg("out").noconvert(),
               nb::arg("lower"), nb::arg("peer"), nb::arg("better"), nb::arg("isa"),
               nb::arg("threads"));
}

}  // namespace lookalike
