// The Python face of the line kernels, for pairs of positives: split by level, so that weights, which
// are those of the lower of two levels or the less relevant, belong to the sources alone.
#include <atomic>

#include "line_rows.hpp"
#include "threads.hpp"

namespace lookalike {
namespace {

constexpr int kMostLevels = 64;

// Plans for sources of a lower, the same and a higher level than the target; equal ones are one.
struct Relations {
    std::vector<Plan> plans;
    std::array<int, 3> which;
};

using Parts = std::vector<PlanParts>;

Relations make_relations(const Parts& parts, const std::array<int, 3>& which) {
    Relations relations = {{}, which};
    for (const auto& part : parts) relations.plans.push_back(make_plan(part));
    for (const int w : which)
        if (w < 0 || w >= static_cast<int>(parts.size())) throw std::invalid_argument("no such plan");
    return relations;
}

struct PairRow {
    const float *scores, *weights, *level;  // level: null when all are of one
    int64_t depth;
    int level_of(int64_t i) const { return level == nullptr ? 0 : static_cast<int>(level[i]); }
};

// The weight of each level, 0 where a row has none; false unless all items of a level share it.
bool level_weights(const PairRow& row, std::array<float, kMostLevels>& weights) {
    weights.fill(0.0f);
    for (int64_t i = 0; i < row.depth; ++i) {
        const float w = row.weights[i];
        if (w == 0.0f) continue;
        if (row.level != nullptr && !(row.level[i] >= 0.0f && row.level[i] < kMostLevels))
            return false;
        float& known = weights[row.level_of(i)];
        if (known == 0.0f) known = w;
        if (known != w || !std::isfinite(row.scores[i])) return false;
    }
    return true;
}

// One row's pairs, one level of targets and one plan at a time.
class Pairs {
  public:
    Pairs(const LineKernels& kernel, const Relations& relations)
        : rows_(kernel), relations_(relations) {}

    // found(plan), with rows().targets of one level and the rows().sources that meet them by it;
    // false unless the levels tell the weights.
    template <typename Found>
    bool each(const PairRow& row, const Found& found) {
        if (!level_weights(row, weights_)) return false;
        Line &items = rows_.items, &targets = rows_.targets;
        items.take(
            row.depth, [&](int64_t i) { return row.weights[i] != 0.0f; },
            [&](int64_t i) { return row.scores[i]; }, [](int64_t i) { return i; });
        rows_.sorter.fall(items.x.data(), items.place.data(), items.size);
        const float* x = items.x.data();
        const int32_t* place = items.place.data();
        int32_t* levels = levels_.at_least(items.size);
        for (int64_t i = 0; i < items.size; ++i) levels[i] = row.level_of(place[i]);
        const bool is_one = are_one();
        for (int level = 0; level < kMostLevels; ++level) {
            if (weights_[level] == 0.0f) continue;
            targets.take(
                items.size, [=](int64_t i) { return is_one || levels[i] == level; },
                [=](int64_t i) { return x[i]; }, [=](int64_t i) { return place[i]; });
            for (size_t p = 0; p < relations_.plans.size(); ++p) {
                const Plan& plan = relations_.plans[p];
                if (plan.cut_count == 0 && !plan.has_curve) continue;
                choose(level, static_cast<int>(p), is_one);
                if (rows_.sources.size > 0) found(plan);
            }
            if (is_one) break;
        }
        return true;
    }

    Rows& rows() { return rows_; }
    const float* shares() { return shares_.data(); }

  private:
    // Whether the levels make no difference.
    bool are_one() const {
        float known = 0.0f;
        for (const float w : weights_) {
            if (w != 0.0f && known != 0.0f && w != known) return false;
            known = w != 0.0f ? w : known;
        }
        return relations_.plans.size() == 1;
    }

    void choose(int level, int plan, bool is_one) {
        std::array<bool, kMostLevels> takes;
        std::array<float, kMostLevels> share;
        for (int other = 0; other < kMostLevels; ++other) {
            const int relation = other < level ? 0 : other == level ? 1 : 2;
            takes[other] = is_one || relations_.which[relation] == plan;
            share[other] = weights_[other] < weights_[level] ? weights_[other] : weights_[level];
        }
        const float* x = rows_.items.x.data();
        const int32_t *place = rows_.items.place.data(), *levels = levels_.data();
        float* shares = shares_.at_least(rows_.items.size);
        int64_t n = 0;
        rows_.sources.take(
            rows_.items.size,
            [&](int64_t j) {
                shares[n] = share[levels[j]];
                n += takes[levels[j]] ? 1 : 0;
                return takes[levels[j]];
            },
            [=](int64_t j) { return x[j]; }, [=](int64_t j) { return place[j]; });
    }

    Rows rows_;
    const Relations& relations_;
    std::array<float, kMostLevels> weights_;
    Grown<int32_t> levels_;
    Grown<float> shares_;
};

bool line_pair_sums(ConstMatrix pivots, ConstMatrix weights, std::optional<ConstMatrix> level,
                    Matrix out, const Parts& parts, const std::array<int, 3>& which,
                    double at_zero, const std::string& isa, int threads) {
    need_same(pivots, weights);
    need_same(pivots, out);
    if (level) need_same(pivots, *level);
    need_countable(pivots.shape(1));
    const LineKernels& kernel = LOOKALIKE_SELECT(isa, line_kernels);
    const Relations relations = make_relations(parts, which);
    const int64_t depth = pivots.shape(1);
    const PairRow table = {pivots.data(), weights.data(), level ? level->data() : nullptr, depth};
    float* o = out.data();
    nb::gil_scoped_release free;
    std::atomic<bool> suits{true};
    share_rows(pivots.shape(0), 32 * depth, threads, [&](int64_t first, int64_t last) {
        Pairs pairs(kernel, relations);
        std::vector<double> sums(depth);
        for (int64_t at = first * depth; at < last * depth; at += depth) {
            const PairRow row = {table.scores + at, table.weights + at,
                               table.level == nullptr ? nullptr : table.level + at, depth};
            // An item does not push itself.
            for (int64_t i = 0; i < depth; ++i) sums[i] = -at_zero * row.weights[i];
            const bool good = pairs.each(row, [&](const Plan& plan) {
                Line &sources = pairs.rows().sources, &targets = pairs.rows().targets;
                const double* found =
                    pairs.rows().add(sources.x.data(), pairs.shares(), sources.size,
                                     targets.x.data(), targets.size, plan);
                for (int64_t i = 0; i < targets.size; ++i)
                    sums[targets.place.data()[i]] += found[i];
            });
            if (!good) {
                suits = false;
                return;
            }
            for (int64_t i = 0; i < depth; ++i) o[at + i] = static_cast<float>(sums[i]);
        }
    });
    return suits;
}

bool line_pair_slopes(ConstMatrix pivots, ConstMatrix weights, std::optional<ConstMatrix> level,
                      ConstMatrix by_sum, Matrix out, const Parts& parts,
                      const std::array<int, 3>& which, const std::string& isa, int threads) {
    need_same(pivots, weights);
    need_same(pivots, by_sum);
    need_same(pivots, out);
    if (level) need_same(pivots, *level);
    need_countable(pivots.shape(1));
    const LineKernels& kernel = LOOKALIKE_SELECT(isa, line_kernels);
    const Relations relations = make_relations(parts, which);
    const int64_t depth = pivots.shape(1);
    const PairRow table = {pivots.data(), weights.data(), level ? level->data() : nullptr, depth};
    const float* g = by_sum.data();
    float* o = out.data();
    nb::gil_scoped_release free;
    std::atomic<bool> suits{true};
    share_rows(pivots.shape(0), 64 * depth, threads, [&](int64_t first, int64_t last) {
        Pairs pairs(kernel, relations);
        std::vector<double> slopes(depth);
        for (int64_t at = first * depth; at < last * depth; at += depth) {
            const PairRow row = {table.scores + at, table.weights + at,
                               table.level == nullptr ? nullptr : table.level + at, depth};
            slopes.assign(depth, 0.0);
            const bool good = pairs.each(row, [&](const Plan& plan) {
                Rows& rows = pairs.rows();
                Line &sources = rows.sources, &targets = rows.targets;
                const float *x = sources.x.data(), *to = targets.x.data();
                const int32_t *source = sources.place.data(), *target = targets.place.data();
                float* by_target = rows.weights.at_least(targets.size);
                for (int64_t i = 0; i < targets.size; ++i) by_target[i] = g[at + target[i]];
                // Both ends of a pair move its difference, in opposite directions.
                const double* down =
                    rows.add(x, pairs.shares(), sources.size, to, targets.size, plan);
                for (int64_t i = 0; i < targets.size; ++i)
                    slopes[target[i]] -= by_target[i] * down[i];
                const double* up =
                    rows.add_back(x, sources.size, to, by_target, targets.size, plan);
                for (int64_t j = 0; j < sources.size; ++j)
                    slopes[source[j]] += pairs.shares()[j] * up[sources.size - 1 - j];
            });
            if (!good) {
                suits = false;
                return;
            }
            for (int64_t i = 0; i < depth; ++i) o[at + i] = static_cast<float>(slopes[i]);
        }
    });
    return suits;
}

}  // namespace

void bind_line_pairs(nb::module_& module) {
    module.def("line_pair_sums", &line_pair_sums, nb::arg("pivots"), nb::arg("weights"),
               nb::arg("level").none(), nb::arg("out").noconvert(), nb::arg("plans"),
               nb::arg("which"), nb::arg("at_zero"), nb::arg("isa"), nb::arg("threads"));
    module.def("line_pair_slopes", &line_pair_slopes, nb::arg("pivots"), nb::arg("weights"),
               nb::arg("level").none(), nb::arg("by_sum"), nb::arg("out").noconvert(),
               nb::arg("plans"), nb::arg("which"), nb::arg("isa"), nb::arg("threads"));
}

}  // namespace lookalike
