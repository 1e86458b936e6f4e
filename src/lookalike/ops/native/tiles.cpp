// The Python face of the tile kernels: packing, and the panels shared out to threads.
#include "tiles.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <new>
#include <stdexcept>

#if defined(LOOKALIKE_X86)
#include <xmmintrin.h>
#endif

#include "arrays.hpp"
#include "threads.hpp"

namespace lookalike {
namespace {

template <typename T>
using Vector = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Grid = nb::ndarray<T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
// Rows that may lie apart, so that each can begin with a cache line.
template <typename T>
using Rows = nb::ndarray<T, nb::ndim<2>, nb::device::cpu>;

const TileKernels& kernels(const std::string& isa) { return LOOKALIKE_SELECT(isa, tile_kernels); }

// out[k * width + i] = vectors[i * size + k] for i < 4, k < 4.
template <typename T>
inline void transpose(const float* vectors, int64_t size, int64_t width, T* out) {
    for (int64_t i = 0; i < 4; ++i)
        for (int64_t k = 0; k < 4; ++k) out[k * width + i] = vectors[i * size + k];
}
#if defined(LOOKALIKE_X86)
template <>
inline void transpose(const float* vectors, int64_t size, int64_t width, float* out) {
    __m128 r0 = _mm_loadu_ps(vectors), r1 = _mm_loadu_ps(vectors + size);
    __m128 r2 = _mm_loadu_ps(vectors + 2 * size), r3 = _mm_loadu_ps(vectors + 3 * size);
    _MM_TRANSPOSE4_PS(r0, r1, r2, r3);
    _mm_storeu_ps(out, r0);
    _mm_storeu_ps(out + width, r1);
    _mm_storeu_ps(out + 2 * width, r2);
    _mm_storeu_ps(out + 3 * width, r3);
}
#endif

// A run of vectors, dimension by dimension: out[k * width + i] = vectors[i][k], zero where there is
// none.
template <typename T>
void pack(const float* vectors, int64_t count, int64_t size, int64_t width, int64_t padded, T* out) {
    if (count < width) std::fill(out, out + padded * width, T(0));
    const int64_t even_rows = count / 4 * 4, even_size = size / 4 * 4;
    for (int64_t k = 0; k < even_size; k += 4)
        for (int64_t i = 0; i < even_rows; i += 4)
            transpose(vectors + i * size + k, size, width, out + k * width + i);
    for (int64_t i = 0; i < count; ++i)
        for (int64_t k = i < even_rows ? even_size : 0; k < size; ++k)
            out[k * width + i] = vectors[i * size + k];
    std::fill(out + size * width, out + padded * width, T(0));
}

// Memory that begins with a cache line: a load across two of them takes twice as long.
template <typename T>
class Lines {
  public:
    explicit Lines(int64_t count)
        : data_(static_cast<T*>(::operator new(count * sizeof(T), kLine))) {}
    ~Lines() { ::operator delete(data_, kLine); }
    Lines(const Lines&) = delete;
    Lines& operator=(const Lines&) = delete;
    T* data() const { return data_; }

  private:
    static constexpr std::align_val_t kLine{64};
    T* data_;
};

inline void ask_for(const float* data, int64_t count) {
    for (int64_t k = 0; k < count; k += 16) __builtin_prefetch(data + k, 0, 1);
}

// panel_of(p, buffer): a panel of gallery items, dimension by dimension; in the buffer if need be.
template <typename In, typename Out, typename PanelOf>
void fill_tile(const TileStep<In, Out>& step, const Grid<const float>& query,
               const Rows<Out>& out, const int32_t* exponents, int64_t padded, int threads,
               const PanelOf& panel_of) {
    const int64_t rows = query.shape(0), width = out.shape(1), size = query.shape(1);
    if (static_cast<int64_t>(out.shape(0)) != rows || (width > 1 && out.stride(1) != 1))
        throw std::invalid_argument("arrays differ in length");
    const float* q = query.data();
    Out* o = out.data();
    const int64_t stride = out.stride(0);
    nb::gil_scoped_release free;
    const int64_t groups = (rows + step.rows - 1) / step.rows;
    const int64_t panels = (width + step.columns - 1) / step.columns;
    const int64_t group_size = step.rows * padded;
    const Lines<In> packed(groups * group_size);
    for (int64_t i = 0; i < groups; ++i)
        pack(q + i * step.rows * size, std::min(step.rows, rows - i * step.rows), size, step.rows,
             padded, packed.data() + i * group_size);
    if (exponents != nullptr)
        for (int64_t i = 0; i < rows; ++i) {
            In* own = packed.data() + i / step.rows * group_size + i % step.rows;
            const In scale = std::ldexp(In(1), exponents[i]);
            for (int64_t k = 0; k < size; ++k) own[k * step.rows] *= scale;
        }
    share_rows(panels, rows * size, threads,
               [=, &step, &packed, &panel_of](int64_t first, int64_t last) {
        const Lines<In> buffer(step.columns * padded);
        for (int64_t p = first; p < last; ++p) {
            const In* panel = panel_of(p, buffer.data());
            const int64_t from = p * step.columns, columns = std::min(step.columns, width - from);
            for (int64_t i = 0; i < groups; ++i)
                step.run(packed.data() + i * group_size, panel, padded,
                         o + i * step.rows * stride + from, stride,
                         std::min(step.rows, rows - i * step.rows), columns);
        }
    });
}

void exact_tile(Grid<const float> query, Grid<const float> gallery, Rows<double> out,
                const std::string& isa, int threads) {
    const int64_t size = query.shape(1), width = gallery.shape(0);
    if (static_cast<int64_t>(gallery.shape(1)) != size ||
        static_cast<int64_t>(out.shape(1)) != width)
        throw std::invalid_argument("arrays differ in length");
    const TileStep<double, double>& step = kernels(isa).exact;
    const float* g = gallery.data();
    fill_tile(step, query, out, nullptr, size, threads, [=, &step](int64_t p, double* buffer) {
        const int64_t from = p * step.columns, until = std::min(from + step.columns, width);
        pack(g + from * size, until - from, size, step.columns, size, buffer);
        // Meanwhile the next ones come nearer.
        ask_for(g + until * size, std::min(step.columns, width - until) * size);
        return buffer;
    });
}

int64_t whole_chunks(int64_t size) { return (size + kChunk - 1) / kChunk * kChunk; }

// How many numbers `fixed_panels` writes.
int64_t panel_numbers(int64_t width, int64_t size, const std::string& isa) {
    const int64_t columns = kernels(isa).fixed.columns;
    return (width + columns - 1) / columns * columns * whole_chunks(size);
}

// The gallery as `fixed_tile` reads it, panel by panel: packed once for all tiles.
void fixed_panels(Grid<const float> gallery, Vector<float> out, const std::string& isa,
                  int threads) {
    const int64_t width = gallery.shape(0), size = gallery.shape(1);
    const int64_t columns = kernels(isa).fixed.columns, padded = whole_chunks(size);
    if (static_cast<int64_t>(out.shape(0)) != panel_numbers(width, size, isa))
        throw std::invalid_argument("arrays differ in length");
    const float* g = gallery.data();
    float* o = out.data();
    nb::gil_scoped_release free;
    share_rows((width + columns - 1) / columns, columns * size, threads,
               [=](int64_t first, int64_t last) {
                   for (int64_t p = first; p < last; ++p)
                       pack(g + p * columns * size, std::min(columns, width - p * columns), size,
                            columns, padded, o + p * columns * padded);
               });
}

// Scores times 2^exponents[row], as whole numbers.
void fixed_tile(Grid<const float> query, Vector<const float> panels,
                Vector<const int32_t> exponents, Rows<int32_t> out, const std::string& isa,
                int threads) {
    const int64_t padded = whole_chunks(query.shape(1));
    if (exponents.shape(0) != query.shape(0) ||
        static_cast<int64_t>(panels.shape(0)) !=
            panel_numbers(out.shape(1), query.shape(1), isa))
        throw std::invalid_argument("arrays differ in length");
    const TileStep<float, int32_t>& step = kernels(isa).fixed;
    const int64_t panel = step.columns * padded, end = panels.shape(0);
    const float* all = panels.data();
    fill_tile(step, query, out, exponents.data(), padded, threads, [=](int64_t p, float*) {
        const float* own = all + p * panel;
        ask_for(own + panel, std::min(panel, end - (p + 1) * panel));
        return own;
    });
}

// How often float32 rounds what each product of a chunk adds to its sum.
std::vector<int> roundings(const std::string& isa) {
    const auto& each = kernels(isa).roundings;
    return {each, each + kChunk};
}

}  // namespace

void bind_tiles(nb::module_& module) {
    module.def("roundings", &roundings, nb::arg("isa"));
    module.def("exact_tile", &exact_tile, nb::arg("query").noconvert(),
               nb::arg("gallery").noconvert(), nb::arg("out").noconvert(), nb::arg("isa"),
               nb::arg("threads"));
    module.def("panel_numbers", &panel_numbers, nb::arg("width"), nb::arg("size"),
               nb::arg("isa"));
    module.def("fixed_panels", &fixed_panels, nb::arg("gallery").noconvert(),
               nb::arg("out").noconvert(), nb::arg("isa"), nb::arg("threads"));
    module.def("fixed_tile", &fixed_tile, nb::arg("query").noconvert(),
               nb::arg("panels").noconvert(), nb::arg("exponents").noconvert(),
               nb::arg("out").noconvert(), nb::arg("isa"), nb::arg("threads"));
}

}  // namespace lookalike
