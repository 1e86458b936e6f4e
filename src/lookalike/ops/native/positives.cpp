// The Python face of what finds the positives of a row, and takes them out of its scores.
#include <nanobind/stl/string.h>

#include "line_rows.hpp"
#include "threads.hpp"

namespace lookalike {
namespace {

using Numbers = nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Rows2 = nb::ndarray<T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

// `count` entries of the order from `first` on, without that at `own`; rows of fewer are padded by their
// first.
void sorted_columns(Numbers order, Numbers first, Numbers count, Numbers own, Rows2<int64_t> index,
                    int threads) {
    const int64_t size = order.shape(0), depth = index.shape(1);
    need_rows(first, index);
    need_rows(count, index);
    need_rows(own, index);
    const int64_t *from = order.data(), *f = first.data(), *c = count.data(), *o = own.data();
    int64_t* to = index.data();
    nb::gil_scoped_release free;
    share_rows(index.shape(0), depth, threads, [=](int64_t start, int64_t stop) {
        for (int64_t row = start; row < stop; ++row) {
            int64_t* out = to + row * depth;
            int64_t n = 0;
            for (int64_t at = f[row] > 0 ? f[row] : 0; n < c[row] && n < depth && at < size; ++at) {
                if (at == o[row]) continue;
                out[n++] = from[at];
            }
            const int64_t padding = n > 0 ? out[0] : 0;
            for (; n < depth; ++n) out[n] = padding;
        }
    });
}

// How many label columns of each reference agree with each query.
void shared_levels(Rows2<const int32_t> query, Rows2<const int32_t> reference, Rows2<uint8_t> out,
                   int threads) {
    need_rows(query, out);
    if (query.shape(1) != reference.shape(0) || reference.shape(1) != out.shape(1))
        throw std::invalid_argument("labels and levels differ in size");
    const int64_t levels = query.shape(1), width = out.shape(1);
    const int32_t *q = query.data(), *r = reference.data();
    uint8_t* o = out.data();
    nb::gil_scoped_release free;
    share_rows(query.shape(0), levels * width, threads, [=](int64_t first, int64_t last) {
        for (int64_t row = first; row < last; ++row) {
            uint8_t* level = o + row * width;
            std::memset(level, 0, width);
            for (int64_t l = 0; l < levels; ++l) {
                const int32_t wanted = q[row * levels + l], *labels = r + l * width;
#pragma omp simd
                for (int64_t j = 0; j < width; ++j)
                    level[j] = static_cast<uint8_t>(level[j] + (labels[j] == wanted ? 1 : 0));
            }
        }
    });
}

// The columns of each row that share a level, and which; rows of fewer are padded by their first column
// and level 0.
void matching_columns(Rows2<const uint8_t> levels, Rows2<int64_t> index, Rows2<uint8_t> found,
                      int threads) {
    need_rows(levels, index);
    need_same(index, found);
    const int64_t width = levels.shape(1), depth = index.shape(1);
    const uint8_t* from = levels.data();
    int64_t* to = index.data();
    uint8_t* by = found.data();
    nb::gil_scoped_release free;
    share_rows(levels.shape(0), 4 * width, threads, [=](int64_t first, int64_t last) {
        std::vector<int32_t> columns(width + 1);
        for (int64_t row = first; row < last; ++row) {
            const uint8_t* level = from + row * width;
            int64_t n = 0;
            for (int64_t j = 0; j < width; ++j) {
                columns[n] = static_cast<int32_t>(j);
                n += level[j] != 0 ? 1 : 0;
            }
            n = n < depth ? n : depth;
            for (int64_t i = 0; i < n; ++i) {
                to[row * depth + i] = columns[i];
                by[row * depth + i] = level[columns[i]];
            }
            for (int64_t i = n; i < depth; ++i) {
                to[row * depth + i] = n > 0 ? columns[0] : 0;
                by[row * depth + i] = 0;
            }
        }
    });
}

// Takes the positives out of the scores, which become -inf there: their scores in falling order, and
// `index`, `mask` and `levels` in the same order, padding last. Where a score is not a number, they stay.
void take_falling(Matrix scores, Rows2<int64_t> index, Rows2<bool> mask, Rows2<uint8_t> levels,
                  Matrix own, int threads) {
    need_rows(scores, index);
    need_same(index, mask);
    need_same(index, levels);
    need_same(index, own);
    need_countable(scores.shape(1));
    const int64_t width = scores.shape(1), depth = index.shape(1);
    float *s = scores.data(), *o = own.data();
    int64_t* columns = index.data();
    bool* real = mask.data();
    uint8_t* level = levels.data();
    need_within(columns, static_cast<int64_t>(index.size()), width);
    nb::gil_scoped_release free;
    share_rows(scores.shape(0), 16 * depth, threads, [=](int64_t first, int64_t last) {
        Rows rows(baseline::line_kernels);
        std::vector<int64_t> held(depth);
        std::vector<uint8_t> kept(depth);
        for (int64_t row = first; row < last; ++row) {
            float *scored = s + row * width, *taken = o + row * depth;
            int64_t* at = columns + row * depth;
            bool* is_real = real + row * depth;
            uint8_t* by = level + row * depth;
            for (int64_t i = 0; i < depth; ++i) taken[i] = scored[at[i]];
            Line& items = rows.items;
            items.take(
                depth, [=](int64_t i) { return is_real[i]; }, [=](int64_t i) { return taken[i]; },
                [](int64_t i) { return i; });
            if (items.size > 0 && rows.sort(items)) {
                const int32_t* place = items.place.data();
                for (int64_t i = 0; i < depth; ++i) {
                    const int32_t from = place[i < items.size ? i : 0];
                    held[i] = at[from];
                    kept[i] = i < items.size ? by[from] : 0;
                }
                for (int64_t i = 0; i < depth; ++i) {
                    taken[i] = items.x.data()[i < items.size ? i : 0];
                    at[i] = held[i];
                    by[i] = kept[i];
                    is_real[i] = i < items.size;
                }
            }
            for (int64_t i = 0; i < depth; ++i) scored[at[i]] = -INFINITY;
        }
    });
}

}  // namespace

void bind_positives(nb::module_& module) {
    module.def("sorted_columns", &sorted_columns, nb::arg("order"), nb::arg("first"),
               nb::arg("count"), nb::arg("own"), nb::arg("index").noconvert(),
               nb::arg("threads"));
    module.def("shared_levels", &shared_levels, nb::arg("query"), nb::arg("reference"),
               nb::arg("out").noconvert(), nb::arg("threads"));
    module.def("matching_columns", &matching_columns, nb::arg("levels"),
               nb::arg("index").noconvert(), nb::arg("found").noconvert(), nb::arg("threads"));
    module.def("take_falling", &take_falling, nb::arg("scores").noconvert(),
               nb::arg("index").noconvert(), nb::arg("mask").noconvert(),
               nb::arg("levels").noconvert(), nb::arg("own").noconvert(), nb::arg("threads"));
}

}  // namespace lookalike
