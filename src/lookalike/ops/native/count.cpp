// The Python face of the counting kernels: one row at a time, pivots, sweep, and the few items that
// the approximate scores cannot order.
#include "counter.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <atomic>
#include <stdexcept>

#include "arrays.hpp"
#include "threads.hpp"

namespace nb = nanobind;

namespace lookalike {
namespace {

template <typename T>
using Vector = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Grid = nb::ndarray<T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

const CountKernels& kernels(const std::string& isa) {
    return LOOKALIKE_SELECT(isa, count_kernels);
}

// Rows of `error`: as in Row, (rows, 3): scale, error, doubt. Returns how many items it had to score
// again.
template <typename Score>
int64_t count_ranks(nb::ndarray<const Score, nb::ndim<2>, nb::device::cpu> scores,
                    Grid<const double> bounds, Vector<const int64_t> starts,
                    Vector<const int64_t> items, Grid<const float> query,
                    Grid<const float> gallery, Vector<int64_t> above, Vector<int64_t> tied,
                    Vector<int64_t> before, Vector<double> best, const std::string& isa,
                    int threads) {
    const int64_t rows = scores.shape(0), width = scores.shape(1), size = query.shape(1);
    if (static_cast<int64_t>(bounds.shape(0)) != rows || bounds.shape(1) != 3 ||
        static_cast<int64_t>(starts.shape(0)) != rows + 1 ||
        static_cast<int64_t>(query.shape(0)) != rows ||
        static_cast<int64_t>(gallery.shape(0)) != width ||
        static_cast<int64_t>(gallery.shape(1)) != size || above.shape(0) != items.shape(0) ||
        tied.shape(0) != items.shape(0) || before.shape(0) != items.shape(0) ||
        starts.data()[rows] != static_cast<int64_t>(items.shape(0)) ||
        (width > 1 && scores.stride(1) != 1) ||
        (best.shape(0) != 0 && static_cast<int64_t>(best.shape(0)) != rows))
        throw std::invalid_argument("arrays differ in length");
    need_countable(width);
    need_starts(starts.data(), rows, items.shape(0));
    need_within(items.data(), items.shape(0), width);
    const CountKernels& kernel = kernels(isa);
    const Score* s = scores.data();
    const double* e = bounds.data();
    const float *q = query.data(), *g = gallery.data();
    const int64_t *from = starts.data(), *item = items.data(), stride = scores.stride(0);
    int64_t *a = above.data(), *t = tied.data(), *b = before.data();
    double* top = best.shape(0) != 0 ? best.data() : nullptr;
    std::atomic<int64_t> rescored{0};
    nb::gil_scoped_release free;
    share_rows(rows, width * 4, threads, [=, &kernel, &rescored](int64_t first, int64_t last) {
        Counter<Score> counter(kernel, g, width, size);
        for (int64_t i = first; i < last; ++i)
            counter.add({s + i * stride, e[3 * i], e[3 * i + 1], e[3 * i + 2], q + i * size,
                         item + from[i], from[i + 1] - from[i], a + from[i], t + from[i],
                         b + from[i]},
                        top != nullptr ? top + i : nullptr);
        counter.settle();
        rescored += counter.rescored;
    });
    return rescored;
}

template <typename Score>
void bind(nb::module_& module) {
    module.def("count_ranks", &count_ranks<Score>, nb::arg("scores").noconvert(), nb::arg("bounds"),
               nb::arg("starts"), nb::arg("items"), nb::arg("query").noconvert(),
               nb::arg("gallery").noconvert(), nb::arg("above").noconvert(),
               nb::arg("tied").noconvert(), nb::arg("before").noconvert(),
               nb::arg("best").noconvert(), nb::arg("isa"), nb::arg("threads"));
}

}  // namespace

void bind_metrics(nb::module_& module);  // count_metrics.cpp

void bind_count(nb::module_& module) {
    bind_metrics(module);
    bind<int32_t>(module);
    bind<double>(module);
}

}  // namespace lookalike
