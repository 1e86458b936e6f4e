// The Python face of the step kernels: checks shapes, lets go of the interpreter, shares out rows.
#include "steps.hpp"

#include "arrays.hpp"
#include "threads.hpp"

namespace lookalike {
namespace {

Step make_step(double tau, double start, double delta, double rho, double offset) {
    return {static_cast<float>(1.0 / tau), static_cast<float>(start), static_cast<float>(delta),
            static_cast<float>(rho), static_cast<float>(offset)};
}

void step_sums(ConstMatrix scores, ConstMatrix pivots, Matrix out, double tau, double start,
               double delta, double rho, double offset, const std::string& isa, int threads) {
    need_rows(scores, pivots);
    need_same(pivots, out);
    const StepKernels& kernel = LOOKALIKE_SELECT(isa, step_kernels);
    const Step step = make_step(tau, start, delta, rho, offset);
    const int64_t width = scores.shape(1), depth = pivots.shape(1);
    const float *s = scores.data(), *p = pivots.data();
    float* o = out.data();
    nb::gil_scoped_release free;
    share_rows(scores.shape(0), width * depth, threads, [=, &kernel](int64_t first, int64_t last) {
        for (int64_t row = first; row < last; ++row) {
            const float *from = s + row * width, *at = p + row * depth;
            kernel.sums(from, width, at, depth, step, o + row * depth);
        }
    });
}

void step_slopes(Matrix scores, ConstMatrix pivots, ConstMatrix weights, Matrix out, double tau,
                 double start, double delta, double rho, double offset, const std::string& isa,
                 int threads) {
    need_rows(scores, pivots);
    need_same(pivots, weights);
    need_same(pivots, out);
    const StepKernels& kernel = LOOKALIKE_SELECT(isa, step_kernels);
    const Step step = make_step(tau, start, delta, rho, offset);
    const int64_t width = scores.shape(1), depth = pivots.shape(1);
    const float *p = pivots.data(), *w = weights.data();
    float *s = scores.data(), *o = out.data();
    nb::gil_scoped_release free;
    share_rows(scores.shape(0), width * depth, threads, [=, &kernel](int64_t first, int64_t last) {
        for (int64_t row = first; row < last; ++row) {
            const float *at = p + row * depth, *by = w + row * depth;
            kernel.slopes(s + row * width, width, at, by, depth, step, o + row * depth);
        }
    });
}

}  // namespace

void bind_steps(nb::module_& module) {
    module.def("step_sums", &step_sums, nb::arg("scores").noconvert(), nb::arg("pivots"),
               nb::arg("out").noconvert(), nb::arg("tau"), nb::arg("start"), nb::arg("delta"),
               nb::arg("rho"), nb::arg("offset"), nb::arg("isa"), nb::arg("threads"));
    module.def("step_slopes", &step_slopes, nb::arg("scores").noconvert(), nb::arg("pivots"),
               nb::arg("weights"), nb::arg("out").noconvert(), nb::arg("tau"), nb::arg("start"),
               nb::arg("delta"), nb::arg("rho"), nb::arg("offset"), nb::arg("isa"),
               nb::arg("threads"));
}

}  // namespace lookalike
