// The Python face of the step kernels: checks shapes, lets go of the interpreter, shares out rows.
#include "steps.hpp"

#include <vector>

#include "arrays.hpp"
#include "threads.hpp"

namespace lookalike {
namespace {

Step make_step(double tau, double start, double delta, double rho, double offset) {
    return {static_cast<float>(1.0 / tau), static_cast<float>(start), static_cast<float>(delta),
            static_cast<float>(rho), static_cast<float>(offset)};
}

// What the kernels of many pivots work in; one for each thread.
class Room {
  public:
    explicit Room(int64_t depth)
        : size_(padded_depth(depth) + 1), floats_(3 * size_), doubles_(3 * size_) {}

    Scratch scratch() {
        float* f = floats_.data();
        double* d = doubles_.data();
        return {f, f + size_, f + 2 * size_, d, d + size_, d + 2 * size_};
    }

  private:
    int64_t size_;
    std::vector<float> floats_;
    std::vector<double> doubles_;
};

void step_sums(ConstMatrix scores, ConstMatrix pivots, Matrix out, double tau, double start,
               double delta, double rho, double offset, bool is_many, const std::string& isa,
               int threads) {
    need_rows(scores, pivots);
    need_same(pivots, out);
    const StepKernels& kernel = LOOKALIKE_SELECT(isa, step_kernels);
    const Step step = make_step(tau, start, delta, rho, offset);
    const int64_t width = scores.shape(1), depth = pivots.shape(1);
    const float *s = scores.data(), *p = pivots.data();
    float* o = out.data();
    nb::gil_scoped_release free;
    share_rows(scores.shape(0), width * depth, threads, [=, &kernel](int64_t first, int64_t last) {
        Room room(is_many ? depth : 0);
        for (int64_t row = first; row < last; ++row) {
            const float *from = s + row * width, *at = p + row * depth;
            if (is_many)
                kernel.many_sums(from, width, at, depth, step, o + row * depth, room.scratch());
            else
                kernel.sums(from, width, at, depth, step, o + row * depth);
        }
    });
}

void step_slopes(Matrix scores, ConstMatrix pivots, ConstMatrix weights, Matrix out, double tau,
                 double start, double delta, double rho, double offset, bool is_many,
                 const std::string& isa, int threads) {
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
        Room room(is_many ? depth : 0);
        for (int64_t row = first; row < last; ++row) {
            const float *at = p + row * depth, *by = w + row * depth;
            if (is_many)
                kernel.many_slopes(s + row * width, width, at, by, depth, step, o + row * depth,
                                   room.scratch());
            else
                kernel.slopes(s + row * width, width, at, by, depth, step, o + row * depth);
        }
    });
}

}  // namespace

void bind_steps(nb::module_& module) {
    module.def("step_sums", &step_sums, nb::arg("scores").noconvert(), nb::arg("pivots"),
               nb::arg("out").noconvert(), nb::arg("tau"), nb::arg("start"), nb::arg("delta"),
               nb::arg("rho"), nb::arg("offset"), nb::arg("is_many"), nb::arg("isa"),
               nb::arg("threads"));
    module.def("step_slopes", &step_slopes, nb::arg("scores").noconvert(), nb::arg("pivots"),
               nb::arg("weights"), nb::arg("out").noconvert(), nb::arg("tau"), nb::arg("start"),
               nb::arg("delta"), nb::arg("rho"), nb::arg("offset"), nb::arg("is_many"),
               nb::arg("isa"), nb::arg("threads"));
}

}  // namespace lookalike
