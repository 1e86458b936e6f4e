// From counts to metrics in one pass over each query's relevant items. See
// lookalike/metrics/formulas.py for the formulas; sums run in the same order and give the same bits
// (this file is compiled without fused multiply-add).
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "threads.hpp"

namespace nb = nanobind;

namespace lookalike {
namespace {

template <typename T>
using Vector = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Matrix = nb::ndarray<T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

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
    bool exclusive;  // whether kExclusive is wanted
    double* out;
    int64_t out_width;
};

class Scorer {
  public:
    explicit Scorer(const Inputs& in)
        : in_(in), depth_(1 + *std::max_element(in.levels, in.levels + in.level_count)),
          seats_((in.width + 63) / 64, 0), share_of_(in.width) {}

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
        for (int64_t p = from; p < to; ++p) {
            const int64_t* codes = in_.gallery_codes + in_.items[p] * in_.columns;
            uint8_t share = 0;
            for (int64_t c = 0; c < depth_; ++c)
                share |= static_cast<uint8_t>((own[c] == codes[c] && own[c] != -1) << c);
            const int64_t rank = in_.above[p] + in_.before[p];
            seats_[rank >> 6] |= uint64_t{1} << (rank & 63);
            share_of_[rank] = share;
        }
        rank_.resize(to - from);
        share_.resize(to - from);
        int64_t read = 0;
        for (size_t word = 0; read < to - from; ++word) {
            for (uint64_t bits = seats_[word]; bits != 0; bits &= bits - 1) {
                const int64_t rank = static_cast<int64_t>(word) * 64 + __builtin_ctzll(bits);
                rank_[read] = static_cast<int32_t>(rank + 1);
                share_[read++] = share_of_[rank];
            }
            seats_[word] = 0;
        }
    }

    void binary(int64_t level, double* out) {
        const uint8_t bit = static_cast<uint8_t>(1u << level);
        hits_.resize(rank_.size() + 1);
        int64_t relevant = 0;
        for (size_t i = 0; i < rank_.size(); ++i) {
            hits_[relevant] = rank_[i];
            relevant += (share_[i] & bit) != 0;
        }
        hits_[relevant] = INT32_MAX;
        std::fill(out, out + kBinary + 2 * in_.cut_count, 0.0);
        out[kRelevant] = static_cast<double>(relevant);
        out[kExclusive] = bit == 1 || !in_.exclusive ? -1.0 : exclusive(bit);
        if (relevant == 0) return;
        precisions(relevant);
        double ap = 0.0, ap_at_r = 0.0, trapezoid = 0.0, gain = 0.0;
        int64_t hits_at_r = 0;
        for (int64_t i = 0; i < relevant; ++i) {
            const int32_t rank = hits_[i];
            ap += precision_[i];
            trapezoid += middle_[i];
            gain += in_.inverse_log[rank];
            if (rank <= relevant) {
                ap_at_r = ap;
                ++hits_at_r;
            }
        }
        out[kAp] = ap / relevant;
        if (bit == 1) out[kExclusive] = out[kAp];  // nothing is finer
        out[kApAtR] = ap_at_r / relevant;
        out[kHitsAtR] = static_cast<double>(hits_at_r) / relevant;
        out[kFirst] = static_cast<double>(hits_[0]);
        out[kTrapezoid] = trapezoid / relevant;
        out[kNdcg] = gain / (in_.discount[relevant] - in_.discount[0]);
        double common = 0.0;
        int64_t have = 0;
        for (int64_t k = 1; k <= relevant; ++k) {
            have += hits_[have] == k;
            common += static_cast<double>(have) / k;
        }
        out[kAsi] = common / relevant;
        for (int64_t c = 0; c < in_.cut_count; ++c) {
            double sum = 0.0;
            int64_t hits = 0;
            for (; hits < relevant && hits_[hits] <= in_.cuts[c]; ++hits) sum += precision_[hits];
            out[kBinary + 2 * c] = static_cast<double>(hits);
            out[kBinary + 2 * c + 1] = sum;
        }
    }

    // The precision at each hit, and its mean with that just before; several at a time.
    void precisions(int64_t count) {
        precision_.resize(count);
        middle_.resize(count);
        for (int32_t i = 0; i < count; ++i) precision_[i] = (i + 1.0) / hits_[i];
        middle_[0] = ((hits_[0] > 1 ? 0.0 : 1.0) + precision_[0]) / 2;
        for (int32_t i = 1; i < count; ++i)
            middle_[i] = (static_cast<double>(i) / (hits_[i] - 1) + precision_[i]) / 2;
    }

    // Average precision of the items of this level alone, once finer ones are out; -1 for none.
    double exclusive(uint8_t bit) {
        const uint8_t finer = static_cast<uint8_t>(bit - 1);
        left_.resize(rank_.size() + 1);
        int32_t found = 0, out = 0;
        for (size_t i = 0; i < rank_.size(); ++i) {
            const bool gone = (share_[i] & finer) != 0;
            left_[found] = rank_[i] - out;
            found += !gone && (share_[i] & bit) != 0;
            out += gone;
        }
        double sum = 0.0;
        for (int32_t i = 0; i < found; ++i) sum += (i + 1.0) / left_[i];
        return found > 0 ? sum / found : -1.0;
    }

    void graded(double* out) {
        const int64_t highest = in_.level_count;
        uint8_t wanted = 0;
        for (int64_t l = 0; l < highest; ++l) wanted |= static_cast<uint8_t>(1u << in_.levels[l]);
        std::vector<int64_t>& size = size_;
        size.assign(highest + 1, 0);
        grade_.resize(rank_.size() + 1);
        hits_.resize(rank_.size() + 1);
        int64_t relevant = 0;
        for (size_t i = 0; i < rank_.size(); ++i) {
            const int grade = __builtin_popcount(share_[i] & wanted);
            grade_[relevant] = static_cast<uint8_t>(grade);
            hits_[relevant] = rank_[i];
            ++size[grade];
            relevant += grade > 0;
        }
        size[0] = 0;
        hits_[relevant] = INT32_MAX;
        std::fill(out, out + kGraded, 0.0);
        out[kGradedRelevant] = static_cast<double>(relevant);
        if (relevant == 0) return;
        relevances(highest);
        have_.assign(highest + 1, 0);
        double gain = 0.0, credit = 0.0, whole = 0.0;
        for (int64_t i = 0; i < relevant; ++i) {
            const int grade = grade_[i];
            ++have_[grade];
            gain += static_cast<double>((int64_t{1} << grade) - 1) * in_.inverse_log[hits_[i]];
            const double own = relevance_[grade];
            double shared = 0.0;
            for (int64_t g = 1; g <= highest; ++g)
                shared += static_cast<double>(have_[g]) * std::min(own, relevance_[g]);
            credit += shared / hits_[i];
            whole += own;
        }
        double best = 0.0;
        int64_t ahead = 0;
        for (int64_t g = highest; g >= 1; --g) {
            const int64_t until = ahead + size[g];
            best += static_cast<double>((int64_t{1} << g) - 1) *
                    (in_.discount[until] - in_.discount[ahead]);
            ahead = until;
        }
        out[kGradedNdcg] = gain / best;
        out[kHAp] = credit / whole;
        out[kGradedAsi] = intersection(highest, relevant) / relevant;
    }

    double intersection(int64_t highest, int64_t relevant) {
        have_.assign(highest + 1, 0);
        double sum = 0.0;
        int64_t next = 0;
        for (int64_t k = 1; k <= relevant; ++k) {
            if (hits_[next] == k) ++have_[grade_[next++]];
            int64_t common = 0, ahead = 0;
            for (int64_t g = highest; g >= 1; --g) {
                const int64_t ideal = std::clamp(k - ahead, int64_t{0}, size_[g]);
                common += std::min(have_[g], ideal);
                ahead += size_[g];
            }
            sum += static_cast<double>(common) / k;
        }
        return sum;
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
    std::vector<uint64_t> seats_;
    std::vector<uint8_t> share_of_, share_, grade_;
    std::vector<int32_t> rank_, hits_, left_;
    std::vector<int64_t> size_, have_;
    std::vector<double> relevance_, precision_, middle_;
};

void rank_metrics(Vector<const int64_t> starts, Vector<const int64_t> items,
                  Vector<const int64_t> above, Vector<const int64_t> before,
                  Matrix<const int64_t> query_codes, Matrix<const int64_t> gallery_codes,
                  Vector<const int64_t> levels, Vector<const int64_t> cuts,
                  Vector<const double> inverse_log, Vector<const double> discount,
                  Vector<const double> weights, bool shared, bool exclusive, Matrix<double> out,
                  int threads) {
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
               nb::arg("exclusive"), nb::arg("out").noconvert(), nb::arg("threads"));
}

}  // namespace lookalike
