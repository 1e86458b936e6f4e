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

template <typename In, typename Out>
void fill_tile(const TileStep<In, Out>& step, const Grid<const float>& query,
               const Grid<const float>& gallery, const Rows<Out>& out, const int32_t* exponents,
               int64_t padded, int threads) {
    const int64_t rows = query.shape(0), width = gallery.shape(0), size = query.shape(1);
    if (static_cast<int64_t>(gallery.shape(1)) != size ||
        static_cast<int64_t>(out.shape(0)) != rows || static_cast<int64_t>(out.shape(1)) != width ||
        (width > 1 && out.stride(1) != 1))
        throw std::invalid_argument("arrays differ in length");
    const float *q = query.data(), *g = gallery.data();
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
    share_rows(panels, rows * size, threads, [=, &step, &packed](int64_t first, int64_t last) {
        const Lines<In> panel(step.columns * padded);
        for (int64_t p = first; p < last; ++p) {
            const int64_t from = p * step.columns, columns = std::min(step.columns, width - from);
            pack(g + from * size, columns, size, step.columns, padded, panel.data());
            // Meanwhile the next ones come nearer.
            if (p + 1 < last) ask_for(g + (from + columns) * size,
                                      std::min(step.columns, width - from - columns) * size);
            for (int64_t i = 0; i < groups; ++i)
                step.run(packed.data() + i * group_size, panel.data(), padded,
                         o + i * step.rows * stride + from, stride,
                         std::min(step.rows, rows - i * step.rows), columns);
        }
    });
}

void exact_tile(Grid<const float> query, Grid<const float> gallery, Rows<double> out,
                const std::string& isa, int threads) {
    fill_tile(kernels(isa).exact, query, gallery, out, nullptr, query.shape(1), threads);
}

// Scores times 2^exponents[row], as whole numbers.
void fixed_tile(Grid<const float> query, Grid<const float> gallery, Vector<const int32_t> exponents,
                Rows<int32_t> out, const std::string& isa, int threads) {
    if (exponents.shape(0) != query.shape(0))
        throw std::invalid_argument("arrays differ in length");
    const int64_t padded = (query.shape(1) + kChunk - 1) / kChunk * kChunk;
    fill_tile(kernels(isa).fixed, query, gallery, out, exponents.data(), padded, threads);
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
    module.def("fixed_tile", &fixed_tile, nb::arg("query").noconvert(),
               nb::arg("gallery").noconvert(), nb::arg("exponents").noconvert(),
               nb::arg("out").noconvert(), nb::arg("isa"), nb::arg("threads"));
}

}  // namespace lookalike
