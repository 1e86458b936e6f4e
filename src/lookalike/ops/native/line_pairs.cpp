// The Python face of the line kernels, for pairs of positives: split by level, so that weights, which
// are those of the lower of two levels or the less relevant, belong to the sources alone.
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

    // found(items of the level, their sources, the sources' shares, plan)
    template <typename Found>
    void each(const PairRow& row, const Found& found) {
        level_weights(row, weights_);
        rows_.items.clear();
        for (int64_t i = 0; i < row.depth; ++i)
            if (row.weights[i] != 0.0f) rows_.items.add(row.scores[i], i);
        rows_.sorter.fall(rows_.items.x, rows_.items.place);
        const bool is_one = are_one();
        for (int level = 0; level < kMostLevels; ++level) {
            if (weights_[level] == 0.0f) continue;
            rows_.targets.clear();
            for (int64_t i = 0; i < rows_.items.size(); ++i)
                if (is_one || row.level_of(rows_.items.place[i]) == level)
                    rows_.targets.add(rows_.items.x[i], rows_.items.place[i]);
            for (size_t p = 0; p < relations_.plans.size(); ++p) {
                const Plan& plan = relations_.plans[p];
                if (plan.cut_count == 0 && !plan.has_curve) continue;
                choose(row, level, static_cast<int>(p), is_one);
                if (rows_.sources.size() > 0) found(plan);
            }
            if (is_one) return;
        }
    }

    Rows& rows() { return rows_; }
    const std::vector<float>& shares() const { return shares_; }

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

    void choose(const PairRow& row, int level, int plan, bool is_one) {
        rows_.sources.clear();
        shares_.clear();
        for (int64_t j = 0; j < rows_.items.size(); ++j) {
            const int32_t at = rows_.items.place[j];
            const int other = row.level_of(at);
            const int relation = other < level ? 0 : other == level ? 1 : 2;
            if (!is_one && relations_.which[relation] != plan) continue;
            rows_.sources.add(rows_.items.x[j], at);
            shares_.push_back(weights_[other] < weights_[level] ? weights_[other]
                                                                : weights_[level]);
        }
    }

    Rows rows_;
    const Relations& relations_;
    std::array<float, kMostLevels> weights_;
    std::vector<float> shares_;
};

bool all_suit(ConstMatrix pivots, const PairRow& first) {
    std::array<float, kMostLevels> weights;
    for (size_t row = 0; row < pivots.shape(0); ++row) {
        const int64_t at = static_cast<int64_t>(row) * first.depth;
        const float* level = first.level == nullptr ? nullptr : first.level + at;
        if (!level_weights({first.scores + at, first.weights + at, level, first.depth}, weights))
            return false;
    }
    return true;
}

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
    if (!all_suit(pivots, table)) return false;
    share_rows(pivots.shape(0), 32 * depth, threads, [&](int64_t first, int64_t last) {
        Pairs pairs(kernel, relations);
        std::vector<double> sums(depth);
        for (int64_t at = first * depth; at < last * depth; at += depth) {
            const PairRow row = {table.scores + at, table.weights + at,
                               table.level == nullptr ? nullptr : table.level + at, depth};
            // An item does not push itself.
            for (int64_t i = 0; i < depth; ++i) sums[i] = -at_zero * row.weights[i];
            pairs.each(row, [&](const Plan& plan) {
                Rows& rows = pairs.rows();
                const auto& found = rows.add(rows.sources.x, pairs.shares(), rows.targets.x, plan);
                for (int64_t i = 0; i < rows.targets.size(); ++i)
                    sums[rows.targets.place[i]] += found[i];
            });
            for (int64_t i = 0; i < depth; ++i) o[at + i] = static_cast<float>(sums[i]);
        }
    });
    return true;
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
    if (!all_suit(pivots, table)) return false;
    share_rows(pivots.shape(0), 64 * depth, threads, [&](int64_t first, int64_t last) {
        Pairs pairs(kernel, relations);
        std::vector<double> slopes(depth);
        std::vector<float> by_target;
        for (int64_t at = first * depth; at < last * depth; at += depth) {
            const PairRow row = {table.scores + at, table.weights + at,
                               table.level == nullptr ? nullptr : table.level + at, depth};
            slopes.assign(depth, 0.0);
            pairs.each(row, [&](const Plan& plan) {
                Rows& rows = pairs.rows();
                const Line &sources = rows.sources, &targets = rows.targets;
                by_target.clear();
                for (const int32_t i : targets.place) by_target.push_back(g[at + i]);
                // Both ends of a pair move its difference, in opposite directions.
                const auto& down = rows.add(sources.x, pairs.shares(), targets.x, plan);
                for (int64_t i = 0; i < targets.size(); ++i)
                    slopes[targets.place[i]] -= by_target[i] * down[i];
                const auto& up = rows.add_back(sources.x, targets.x, by_target, plan);
                for (int64_t j = 0; j < sources.size(); ++j)
                    slopes[sources.place[j]] += pairs.shares()[j] * up[sources.size() - 1 - j];
            });
            for (int64_t i = 0; i < depth; ++i) o[at + i] = static_cast<float>(slopes[i]);
        }
    });
    return true;
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
