// The Python face of the row kernels.
#include "rows.hpp"

#include "arrays.hpp"
#include "threads.hpp"

namespace lookalike {
namespace {

void histogram(ConstMatrix scores, Matrix out, double high, double density, const std::string& isa,
               int threads) {
    need_rows(scores, out);
    const RowKernels& kernel = LOOKALIKE_SELECT(isa, row_kernels);
    const int64_t width = scores.shape(1), bins = out.shape(1);
    if (bins < 2 || bins > kMostBins) throw std::invalid_argument("from 2 to 256 bins");
    const float* s = scores.data();
    float* o = out.data();
    nb::gil_scoped_release free;
    share_rows(scores.shape(0), width * bins, threads, [=, &kernel](int64_t first, int64_t last) {
        for (int64_t row = first; row < last; ++row)
            kernel.histogram(s + row * width, width, static_cast<float>(high),
                             static_cast<float>(density), bins, o + row * bins);
    });
}

// table holds bins + 1 entries a row: one for each bucket between bins, and the two beyond.
void histogram_slopes(Matrix scores, ConstMatrix table, double high, double density,
                      const std::string& isa, int threads) {
    need_rows(scores, table);
    const RowKernels& kernel = LOOKALIKE_SELECT(isa, row_kernels);
    const int64_t width = scores.shape(1), bins = static_cast<int64_t>(table.shape(1)) - 1;
    float* s = scores.data();
    const float* t = table.data();
    nb::gil_scoped_release free;
    share_rows(scores.shape(0), width, threads, [=, &kernel](int64_t first, int64_t last) {
        for (int64_t row = first; row < last; ++row)
            kernel.look_up(s + row * width, width, static_cast<float>(high),
                           static_cast<float>(density), bins, t + row * (bins + 1));
    });
}

void add_transpose(Matrix square, const std::string& isa, int threads) {
    if (square.shape(0) != square.shape(1)) throw std::invalid_argument("not a square matrix");
    const RowKernels& kernel = LOOKALIKE_SELECT(isa, row_kernels);
    const int64_t n = square.shape(0);
    float* s = square.data();
    nb::gil_scoped_release free;
    // Every pair of tiles belongs to the row of tiles of its upper one.
    share_rows((n + kTile - 1) / kTile, kTile * n, threads,
               [=, &kernel](int64_t first, int64_t last) {
                   kernel.add_transpose(s, n, first, last);
               });
}

}  // namespace

void bind_rows(nb::module_& module) {
    module.def("histogram", &histogram, nb::arg("scores").noconvert(), nb::arg("out").noconvert(),
               nb::arg("high"), nb::arg("density"), nb::arg("isa"), nb::arg("threads"));
    module.def("histogram_slopes", &histogram_slopes, nb::arg("scores").noconvert(),
               nb::arg("table"), nb::arg("high"), nb::arg("density"), nb::arg("isa"),
               nb::arg("threads"));
    module.def("add_transpose", &add_transpose, nb::arg("square").noconvert(), nb::arg("isa"),
               nb::arg("threads"));
}

}  // namespace lookalike
