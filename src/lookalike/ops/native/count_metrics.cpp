// From counts to metrics in one pass over each query's relevant items. See
// lookalike/metrics/formulas.py for the formulas; sums run in the same order and give the same bits
// (this file is compiled without fused multiply-add).
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "arrays.hpp"
#include "threads.hpp"

namespace nb = nanobind;

namespace lookalike {
namespace {

template <typename T>
using Vector = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Grid = nb::ndarray<T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

// What is noted for one level, before two numbers for each cut-off; and for all levels together.
enum Binary { kRelevant, kAp, kApAtR, kHitsAtR, kFirst, kTrapezoid, kNdcg, kAsi, kExclusive, kBinary };
enum Graded { kGradedRelevant, kGradedNdcg, kGradedAsi, kHAp, kGraded };

struct Inputs {
    const int64_t *starts, *items, *above, *before;
    const int64_t *query_codes, *gallery_codes;  // (b, columns), (n, columns)
    int64_t columns, width;                      // label columns; gallery size
    const int64_t *levels, *cuts;
    int64_t level_count, cut_count;
    const double *inverse_log, *discount, *weights;  // 1 / log2(1 + r); its sums; per grade
    bool shared;  // weights of a grade are shared by its items ("pop"), else summed ("map")
    bool exclusive, trapezoid;  // whether kExclusive and kTrapezoid are wanted
    double* out;
    int64_t out_width;
};

class Scorer {
  public:
    explicit Scorer(const Inputs& in)
        : in_(in), depth_(1 + *std::max_element(in.levels, in.levels + in.level_count)),
          seats_((in.width + 63) / 64, 0), share_of_(in.width) {
        for (int share = 0; share < 256; ++share)
            for (int64_t l = 0; l < in.level_count; ++l)
                grade_of_[share] += static_cast<uint8_t>((share >> in.levels[l]) & 1);
    }

    void score(int64_t query) {
        sort(query);
        double* out = in_.out + query * in_.out_width;
        for (int64_t l = 0; l < in_.level_count; ++l) {
            binary(in_.levels[l], out);
            out += kBinary + 2 * in_.cut_count;
        }
        graded(out);
    }

  private:
    // Ranks are different whole numbers: a bit for each, read in order, sorts them.
    void sort(int64_t query) {
        const int64_t from = in_.starts[query], to = in_.starts[query + 1];
        const int64_t* own = in_.query_codes + query * in_.columns;
        switch (depth_) {
            case 1: seat<1>(from, to, own); break;
            case 2: seat<2>(from, to, own); break;
            case 3: seat<3>(from, to, own); break;
            default: seat<0>(from, to, own);
        }
        rank_.resize(to - from);
        share_.resize(to - from);
        uint64_t* seats = seats_.data();
        const uint8_t* share_of = share_of_.data();
        uint8_t* share = share_.data();
        int32_t* ranks = rank_.data();
        const int64_t count = to - from;
        int64_t read = 0;
        for (int64_t word = 0; read < count; ++word) {
            for (uint64_t bits = seats[word]; bits != 0; bits &= bits - 1) {
                const int64_t rank = word * 64 + __builtin_ctzll(bits);
                ranks[read] = static_cast<int32_t>(rank + 1);
                share[read++] = share_of[rank];
            }
            seats[word] = 0;
        }
    }

    // Note the rank of each item, and which columns it shares with the query; 0 columns: any number.
    template <int kColumns>
    void seat(int64_t from, int64_t to, const int64_t* own) {
        const int64_t depth = kColumns > 0 ? kColumns : depth_, columns = in_.columns;
        int64_t mine[8];
        for (int64_t c = 0; c < depth; ++c) mine[c] = own[c] == -1 ? -2 : own[c];  // -1: unknown
        const int64_t *items = in_.items, *above = in_.above, *before = in_.before;
        const int64_t* gallery_codes = in_.gallery_codes;
        uint64_t* seats = seats_.data();
        uint8_t* share_of = share_of_.data();
        for (int64_t p = from; p < to; ++p) {
            const int64_t* codes = gallery_codes + items[p] * columns;
            unsigned share = 0;
            for (int64_t c = 0; c < depth; ++c)
                share |= static_cast<unsigned>(mine[c] == codes[c]) << c;
            const int64_t rank = above[p] + before[p];
            seats[rank >> 6] |= uint64_t{1} << (rank & 63);
            share_of[rank] = static_cast<uint8_t>(share);
        }
    }

    void binary(int64_t level, double* out) {
        const uint8_t bit = static_cast<uint8_t>(1u << level);
        hits_.resize(rank_.size() + 1);
        const int64_t count = rank_.size();
        const uint8_t* share = share_.data();
        const int32_t* ranks = rank_.data();
        int32_t* hits = hits_.data();
        int64_t relevant = 0;
        for (int64_t i = 0; i < count; ++i) {
            hits[relevant] = ranks[i];
            relevant += (share[i] & bit) != 0;
        }
        hits[relevant] = INT32_MAX;
        std::fill(out, out + kBinary + 2 * in_.cut_count, 0.0);
        out[kRelevant] = static_cast<double>(relevant);
        out[kExclusive] = bit == 1 || !in_.exclusive ? -1.0 : exclusive(bit);
        if (relevant == 0) return;
        precision_.resize(relevant);
        double* precision = precision_.data();
        for (int32_t i = 0; i < relevant; ++i) precision[i] = (i + 1.0) / hits[i];
        double ap = 0.0, gain = 0.0;
        const auto add = [&](int64_t i) {
            ap += precision[i];
            gain += in_.inverse_log[hits[i]];
        };
        int64_t hits_at_r = 0;
        for (; hits[hits_at_r] <= relevant; ++hits_at_r) add(hits_at_r);
        const double ap_at_r = ap;
        for (int64_t i = hits_at_r; i < relevant; ++i) add(i);
        out[kAp] = ap / relevant;
        if (bit == 1) out[kExclusive] = out[kAp];  // nothing is finer
        out[kApAtR] = ap_at_r / relevant;
        out[kHitsAtR] = static_cast<double>(hits_at_r) / relevant;
        out[kFirst] = static_cast<double>(hits[0]);
        out[kTrapezoid] = in_.trapezoid ? trapezoid(relevant) / relevant : -1.0;
        out[kNdcg] = gain / (in_.discount[relevant] - in_.discount[0]);
        common_.resize(relevant);
        int32_t* common = common_.data();
        for (int64_t i = 0, k = 0; i <= hits_at_r; ++i) {
            const int64_t until = i < hits_at_r ? hits[i] - 1 : relevant;
            for (; k < until; ++k) common[k] = static_cast<int32_t>(i);
        }
        out[kAsi] = overlap(relevant) / relevant;
        for (int64_t c = 0; c < in_.cut_count; ++c) {
            double sum = 0.0;
            int64_t found = 0;
            for (; found < relevant && hits[found] <= in_.cuts[c]; ++found) sum += precision[found];
            out[kBinary + 2 * c] = static_cast<double>(found);
            out[kBinary + 2 * c + 1] = sum;
        }
    }

    // The sum of the means of each hit's precision and that just before it.
    double trapezoid(int64_t relevant) const {
        double sum = ((hits_[0] > 1 ? 0.0 : 1.0) + precision_[0]) / 2;
        for (int64_t i = 1; i < relevant; ++i)
            sum += (static_cast<double>(i) / (hits_[i] - 1) + precision_[i]) / 2;
        return sum;
    }

    // The sum of common_[k] / k. Divisions several at a time, the sum in order.
    double overlap(int64_t count) {
        quotient_.resize(count);
        for (int32_t k = 0; k < count; ++k) quotient_[k] = common_[k] / (k + 1.0);
        double sum = 0.0;
        for (int64_t k = 0; k < count; ++k) sum += quotient_[k];
        return sum;
    }

    // Average precision of the items of this level alone, once finer ones are out; -1 for none.
    double exclusive(uint8_t bit) {
        const uint8_t finer = static_cast<uint8_t>(bit - 1);
        left_.resize(rank_.size() + 1);
        int32_t* left = left_.data();
        int32_t found = 0, out = 0;
        for (size_t i = 0; i < rank_.size(); ++i) {
            const bool gone = (share_[i] & finer) != 0;
            left[found] = rank_[i] - out;
            found += !gone && (share_[i] & bit) != 0;
            out += gone;
        }
        double sum = 0.0;
        for (int32_t i = 0; i < found; ++i) sum += (i + 1.0) / left[i];
        return found > 0 ? sum / found : -1.0;
    }

    void graded(double* out) {
        const int64_t highest = in_.level_count;
        size_.assign(highest + 1, 0);
        grade_.resize(rank_.size() + 1);
        hits_.resize(rank_.size() + 1);
        const int64_t count = rank_.size();
        const uint8_t* share = share_.data();
        const int32_t* ranks = rank_.data();
        uint8_t* grades = grade_.data();
        int32_t* hits = hits_.data();
        int64_t* size = size_.data();
        int64_t relevant = 0;
        for (int64_t i = 0; i < count; ++i) {
            const uint8_t grade = grade_of_[share[i]];
            grades[relevant] = grade;
            hits[relevant] = ranks[i];
            ++size[grade];
            relevant += grade > 0;
        }
        size[0] = 0;
        hits[relevant] = INT32_MAX;
        std::fill(out, out + kGraded, 0.0);
        out[kGradedRelevant] = static_cast<double>(relevant);
        if (relevant == 0) return;
        relevances(highest);
        double gain = 0.0, best = 0.0;
        for (int64_t i = 0; i < relevant; ++i)
            gain += static_cast<double>((int64_t{1} << grades[i]) - 1) * in_.inverse_log[hits[i]];
        int64_t ahead = 0;
        for (int64_t g = highest; g >= 1; --g) {
            const int64_t until = ahead + size[g];
            best += static_cast<double>((int64_t{1} << g) - 1) *
                    (in_.discount[until] - in_.discount[ahead]);
            ahead = until;
        }
        out[kGradedNdcg] = gain / best;
        switch (highest) {
            case 1: out[kHAp] = hierarchical<1>(relevant); break;
            case 2: out[kHAp] = hierarchical<2>(relevant); break;
            case 3: out[kHAp] = hierarchical<3>(relevant); break;
            default: out[kHAp] = hierarchical<0>(relevant);
        }
        intersections(highest, relevant);
        out[kGradedAsi] = overlap(relevant) / relevant;
    }

    // H-AP: what each item shares with those down to it, over its rank; 0 grades: any number.
    template <int kGrades>
    double hierarchical(int64_t relevant) {
        const int64_t highest = kGrades > 0 ? kGrades : in_.level_count;
        double shared[9][9];  // of two grades
        for (int64_t a = 1; a <= highest; ++a)
            for (int64_t b = 1; b <= highest; ++b)
                shared[a][b] = std::min(relevance_[a], relevance_[b]);
        quotient_.resize(relevant);
        const uint8_t* grades = grade_.data();
        double* credits = quotient_.data();
        int32_t have[9] = {};
        double whole = 0.0;
        for (int64_t i = 0; i < relevant; ++i) {
            const int grade = grades[i];
            const double* own = shared[grade];
            double credit = 0.0;
            for (int g = 1; g <= highest; ++g) {
                have[g] += grade == g;
                credit += have[g] * own[g];
            }
            credits[i] = credit;
            whole += own[grade];
        }
        for (int64_t i = 0; i < relevant; ++i) credits[i] /= hits_[i];
        double sum = 0.0;
        for (int64_t i = 0; i < relevant; ++i) sum += credits[i];
        return sum / whole;
    }

    // How many grades the first k items have in common with the first k of the ideal ranking: each
    // k adds one grade to either side.
    void intersections(int64_t highest, int64_t relevant) {
        common_.resize(relevant);
        const uint8_t* grades = grade_.data();
        const int32_t* hits = hits_.data();
        int32_t* all = common_.data();
        int32_t found[9] = {}, ideal[9] = {};
        int32_t common = 0;
        int64_t next = 0, k = 0;
        for (int64_t g = highest; g >= 1; --g) {
            for (const int64_t until = k + size_[g]; k < until; ++k) {
                common += ideal[g]++ < found[g];
                if (hits[next] == k + 1) {
                    const int grade = grades[next++];
                    common += found[grade]++ < ideal[grade];
                }
                all[k] = common;
            }
        }
    }

    void relevances(int64_t highest) {
        relevance_.assign(highest + 1, 0.0);
        if (in_.shared) {
            for (int64_t g = 1; g <= highest; ++g)
                if (size_[g] > 0) relevance_[g] = in_.weights[g] / size_[g];
            return;
        }
        int64_t at_least = 0;
        for (int64_t g = highest; g >= 1; --g) {
            at_least += size_[g];
            relevance_[g] = at_least > 0 ? in_.weights[g] / at_least : 0.0;
        }
        for (int64_t g = 2; g <= highest; ++g) relevance_[g] += relevance_[g - 1];
    }

    const Inputs& in_;
    int64_t depth_;
    uint8_t grade_of_[256] = {};
    std::vector<uint64_t> seats_;
    std::vector<uint8_t> share_of_, share_, grade_;
    std::vector<int32_t> rank_, hits_, left_, common_;
    std::vector<int64_t> size_;
    std::vector<double> relevance_, precision_, quotient_;
};

void rank_metrics(Vector<const int64_t> starts, Vector<const int64_t> items,
                  Vector<const int64_t> above, Vector<const int64_t> before,
                  Grid<const int64_t> query_codes, Grid<const int64_t> gallery_codes,
                  Vector<const int64_t> levels, Vector<const int64_t> cuts,
                  Vector<const double> inverse_log, Vector<const double> discount,
                  Vector<const double> weights, bool shared, bool exclusive,
                  bool trapezoid, Grid<double> out, int threads) {
    const int64_t queries = query_codes.shape(0);
    Inputs in{};
    in.starts = starts.data();
    in.items = items.data();
    in.above = above.data();
    in.before = before.data();
    in.query_codes = query_codes.data();
    in.gallery_codes = gallery_codes.data();
    in.columns = query_codes.shape(1);
    in.width = gallery_codes.shape(0);
    in.levels = levels.data();
    in.cuts = cuts.data();
    in.level_count = levels.shape(0);
    in.cut_count = cuts.shape(0);
    in.inverse_log = inverse_log.data();
    in.discount = discount.data();
    in.weights = weights.data();
    in.shared = shared;
    in.exclusive = exclusive;
    in.trapezoid = trapezoid;
    in.out = out.data();
    in.out_width = out.shape(1);
    const int64_t pairs = items.shape(0);
    if (in.level_count == 0 || in.columns > 8 ||
        static_cast<int64_t>(gallery_codes.shape(1)) != in.columns ||
        static_cast<int64_t>(starts.shape(0)) != queries + 1 || in.starts[queries] != pairs ||
        static_cast<int64_t>(above.shape(0)) != pairs ||
        static_cast<int64_t>(before.shape(0)) != pairs ||
        static_cast<int64_t>(inverse_log.shape(0)) < in.width + 1 ||
        static_cast<int64_t>(discount.shape(0)) < in.width + 1 ||
        static_cast<int64_t>(weights.shape(0)) != in.level_count + 1 ||
        static_cast<int64_t>(out.shape(0)) != queries ||
        in.out_width != in.level_count * (kBinary + 2 * in.cut_count) + kGraded)
        throw std::invalid_argument("arrays differ in length");
    need_countable(in.width);
    need_starts(in.starts, queries, pairs);
    need_within(in.items, pairs, in.width);
    need_within(in.above, pairs, in.width);
    need_within(in.before, pairs, in.width);
    for (int64_t p = 0; p < pairs; ++p)
        if (in.above[p] + in.before[p] >= in.width)
            throw std::invalid_argument("a rank is out of range");
    need_within(in.levels, in.level_count, in.columns);
    nb::gil_scoped_release free;
    share_rows(queries, pairs / std::max<int64_t>(queries, 1) * 32, threads,
               [&in](int64_t first, int64_t last) {
                   Scorer scorer(in);
                   for (int64_t i = first; i < last; ++i) scorer.score(i);
               });
}

}  // namespace

void bind_metrics(nb::module_& module) {
    module.def("rank_metrics", &rank_metrics, nb::arg("starts"), nb::arg("items"),
               nb::arg("above"), nb::arg("before"), nb::arg("query_codes"),
               nb::arg("gallery_codes"), nb::arg("levels"), nb::arg("cuts"), nb::arg("inverse_log"),
               nb::arg("discount"), nb::arg("weights"), nb::arg("shared"),
               nb::arg("exclusive"), nb::arg("trapezoid"), nb::arg("out").noconvert(),
               nb::arg("threads"));
}

}  // namespace lookalike
