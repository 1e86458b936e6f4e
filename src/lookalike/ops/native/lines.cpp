// The Python face of the line kernels, for the scores of a row against its pivots.
#include "line_rows.hpp"
#include "threads.hpp"

namespace lookalike {
namespace {

void fill(float* row, int64_t width, float value) {
    for (int64_t j = 0; j < width; ++j) row[j] = value;
}

void write(const std::vector<double>& values, const Line& line, float* row) {
    for (int64_t i = 0; i < line.size(); ++i) row[line.place[i]] = static_cast<float>(values[i]);
}

void line_sums(ConstMatrix scores, ConstMatrix pivots, Matrix out, const PlanParts& parts,
               const std::string& isa, int threads) {
    need_rows(scores, pivots);
    need_same(pivots, out);
    need_countable(scores.shape(1));
    const LineKernels& kernel = LOOKALIKE_SELECT(isa, line_kernels);
    const Plan plan = make_plan(parts);
    const int64_t width = scores.shape(1), depth = pivots.shape(1);
    const float *s = scores.data(), *p = pivots.data();
    float* o = out.data();
    nb::gil_scoped_release free;
    share_rows(scores.shape(0), 16 * (width + depth), threads, [&](int64_t first, int64_t last) {
        Rows rows(kernel);
        for (int64_t row = first; row < last; ++row) {
            float* to = o + row * depth;
            fill(to, depth, 0.0f);
            bool good = rows.read(s + row * width, width, -INFINITY, rows.sources);
            good &= rows.read(p + row * depth, depth, INFINITY, rows.targets);
            if (!good) {
                fill(to, depth, NAN);
                continue;
            }
            rows.weights.assign(rows.sources.x.size(), 1.0f);
            write(rows.add(rows.sources.x, rows.weights, rows.targets.x, plan), rows.targets, to);
        }
    });
}

void line_slopes(Matrix scores, ConstMatrix pivots, ConstMatrix weights, Matrix out,
                 const PlanParts& parts, const std::string& isa, int threads) {
    need_rows(scores, pivots);
    need_same(pivots, weights);
    need_same(pivots, out);
    need_countable(scores.shape(1));
    const LineKernels& kernel = LOOKALIKE_SELECT(isa, line_kernels);
    const Plan plan = make_plan(parts);
    const int64_t width = scores.shape(1), depth = pivots.shape(1);
    const float *p = pivots.data(), *w = weights.data();
    float *s = scores.data(), *o = out.data();
    nb::gil_scoped_release free;
    share_rows(scores.shape(0), 16 * (width + depth), threads, [&](int64_t first, int64_t last) {
        Rows rows(kernel);
        for (int64_t row = first; row < last; ++row) {
            float *to = o + row * depth, *scored = s + row * width;
            fill(to, depth, 0.0f);
            bool good = rows.read(scored, width, -INFINITY, rows.sources);
            good &= rows.read(p + row * depth, depth, INFINITY, rows.targets);
            if (!good) {
                fill(to, depth, NAN);
                fill(scored, width, NAN);
                continue;
            }
            const Line &sources = rows.sources, &targets = rows.targets;
            rows.weights.assign(sources.x.size(), 1.0f);
            write(rows.add(sources.x, rows.weights, targets.x, plan), targets, to);
            rows.weights.clear();
            for (const int32_t i : targets.place) rows.weights.push_back(w[row * depth + i]);
            const auto& mixed = rows.add_back(sources.x, targets.x, rows.weights, plan);
            fill(scored, width, 0.0f);
            for (int64_t j = 0; j < sources.size(); ++j)
                scored[sources.place[j]] = static_cast<float>(mixed[sources.size() - 1 - j]);
        }
    });
}

}  // namespace

void bind_lines(nb::module_& module) {
    module.def("line_sums", &line_sums, nb::arg("scores"), nb::arg("pivots"),
               nb::arg("out").noconvert(), nb::arg("plan"), nb::arg("isa"), nb::arg("threads"));
    module.def("line_slopes", &line_slopes, nb::arg("scores").noconvert(), nb::arg("pivots"),
               nb::arg("weights"), nb::arg("out").noconvert(), nb::arg("plan"), nb::arg("isa"),
               nb::arg("threads"));
}

}  // namespace lookalike
