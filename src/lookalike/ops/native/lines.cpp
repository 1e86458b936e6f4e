// The Python face of the line kernels, for the scores of a row against its pivots.
#include "line_rows.hpp"
#include "threads.hpp"

namespace lookalike {
namespace {

using Order = nb::ndarray<int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

void fill(float* row, int64_t width, float value) {
    for (int64_t j = 0; j < width; ++j) row[j] = value;
}

void write(const double* values, Line& line, float* row) {
    for (int64_t i = 0; i < line.size; ++i)
        row[line.place.data()[i]] = static_cast<float>(values[i]);
}

const float* ones(int64_t count, Rows& rows) {
    float* weights = rows.weights.at_least(count);
    fill(weights, count, 1.0f);
    return weights;
}

void keep(const Line& line, int32_t* columns, int64_t width) {
    std::memcpy(columns, line.place.data(), line.size * sizeof(int32_t));
    if (line.size < width) columns[line.size] = kEnd;
}

// With `by_slope`, also the sums of the slopes, and the order of the scores for line_slopes.
void line_sums(ConstMatrix scores, ConstMatrix pivots, Matrix out, std::optional<Matrix> by_slope,
               std::optional<Order> order, const PlanParts& parts, const PlanParts& slope_parts, const std::string& isa,
               int threads) {
    need_rows(scores, pivots);
    need_same(pivots, out);
    if (by_slope.has_value() != order.has_value())
        throw std::invalid_argument("slopes and order come together");
    if (by_slope) need_same(pivots, *by_slope);
    if (order) need_same(scores, *order);
    need_countable(scores.shape(1));
    const LineKernels& kernel = LOOKALIKE_SELECT(isa, line_kernels);
    const Plan plan = make_plan(parts), slope = make_plan(slope_parts);
    const int64_t width = scores.shape(1), depth = pivots.shape(1);
    const float *s = scores.data(), *p = pivots.data();
    float *o = out.data(), *d = by_slope ? by_slope->data() : nullptr;
    int32_t* kept = order ? order->data() : nullptr;
    nb::gil_scoped_release free;
    share_rows(scores.shape(0), 16 * (width + depth), threads, [&](int64_t first, int64_t last) {
        Rows rows(kernel);
        Line &sources = rows.sources, &targets = rows.targets;
        for (int64_t row = first; row < last; ++row) {
            bool good = rows.read(s + row * width, width, -INFINITY, sources);
            good &= rows.read(p + row * depth, depth, INFINITY, targets);
            const float nothing = good ? 0.0f : NAN;
            fill(o + row * depth, depth, nothing);
            if (d != nullptr) fill(d + row * depth, depth, nothing);
            if (kept != nullptr) {
                if (good)
                    keep(sources, kept + row * width, width);
                else
                    kept[row * width] = kNotANumber;
            }
            if (!good) continue;
            const double* sums =
                rows.add(sources.x.data(), ones(sources.size, rows), sources.size,
                         targets.x.data(), targets.size, plan, d ? &slope.curve : nullptr);
            write(sums, targets, o + row * depth);
            if (d != nullptr) write(rows.slopes(), targets, d + row * depth);
        }
    });
}

// Each score's share in the slopes of its pivots, written over it.
void line_slopes(Matrix scores, ConstMatrix pivots, ConstMatrix weights, Order order,
                 const PlanParts& parts, const std::string& isa, int threads) {
    need_rows(scores, pivots);
    need_same(scores, order);
    need_same(pivots, weights);
    need_countable(scores.shape(1));
    const LineKernels& kernel = LOOKALIKE_SELECT(isa, line_kernels);
    const Plan plan = make_plan(parts);
    const int64_t width = scores.shape(1), depth = pivots.shape(1);
    const float *p = pivots.data(), *w = weights.data();
    float* s = scores.data();
    const int32_t* kept = order.data();
    nb::gil_scoped_release free;
    share_rows(scores.shape(0), 16 * (width + depth), threads, [&](int64_t first, int64_t last) {
        Rows rows(kernel);
        Line &sources = rows.sources, &targets = rows.targets;
        for (int64_t row = first; row < last; ++row) {
            float* scored = s + row * width;
            const int32_t* columns = kept + row * width;
            const bool good = width == 0 || columns[0] != kNotANumber;
            if (good) rows.reread(scored, columns, width, sources);
            fill(scored, width, good ? 0.0f : NAN);
            if (!good) continue;
            rows.read(p + row * depth, depth, INFINITY, targets);
            float* by = rows.weights.at_least(targets.size);
            for (int64_t i = 0; i < targets.size; ++i)
                by[i] = w[row * depth + targets.place.data()[i]];
            const double* mixed = rows.add_back(sources.x.data(), sources.size, targets.x.data(),
                                                by, targets.size, plan);
            for (int64_t j = 0; j < sources.size; ++j)
                scored[sources.place.data()[j]] = static_cast<float>(mixed[sources.size - 1 - j]);
        }
    });
}

}  // namespace

void bind_lines(nb::module_& module) {
    module.def("line_sums", &line_sums, nb::arg("scores"), nb::arg("pivots"),
               nb::arg("out").noconvert(), nb::arg("by_slope").noconvert().none(),
               nb::arg("order").noconvert().none(), nb::arg("plan"), nb::arg("slope_plan"), nb::arg("isa"), nb::arg("threads"));
    module.def("line_slopes", &line_slopes, nb::arg("scores").noconvert(), nb::arg("pivots"),
               nb::arg("weights"), nb::arg("order").noconvert(), nb::arg("plan"), nb::arg("isa"), nb::arg("threads"));
}

}  // namespace lookalike
