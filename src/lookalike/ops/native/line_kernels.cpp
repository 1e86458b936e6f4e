// Sums of steps over points on a line: cuts by merging, the curve by cells. See lines.hpp.
#include "lines.hpp"

#include <cmath>
#include <cstring>

namespace lookalike {
namespace LOOKALIKE_ISA {
namespace {

// Sums of floats this long are added up in double, or apart.
constexpr int64_t kRun = 128;
// Targets that are looked at side by side, so that none waits for the one before.
constexpr int64_t kSide = 4;

template <bool kStrict>
inline bool passes(float x, const Cut& cut) {
    const float y = cut.scale * x + cut.add;
    return kStrict ? y > cut.at : y >= cut.at;
}

// Weights and weighted positions of the first sources, for every number of them.
void sum_up(const Points& sources, LineRoom& room) {
    double weight = 0.0, score = 0.0;
    for (int64_t j = 0; j < sources.size; ++j) {
        room.weights[j] = weight;
        room.scores[j] = score;
        weight += sources.w[j];
        score += static_cast<double>(sources.w[j]) * sources.x[j];
    }
    room.weights[sources.size] = weight;
    room.scores[sources.size] = score;
}

// How many sources are beyond the cut of each target. A block of targets passes those together that
// its highest passes; the few up to those that its lowest does not pass, each target looks at.
template <bool kStrict>
void find_passed(const Points& sources, const float* targets, int64_t count, const Cut& cut,
                 int32_t* passed) {
    int64_t j = 0;
    for (int64_t start = 0; start < count; start += kWide) {
        const int64_t n = count - start < kWide ? count - start : kWide;
        const float* block = targets + start;
        const float high = block[0], low = block[n - 1];
        while (j < sources.size && passes<kStrict>(sources.x[j] - high, cut)) ++j;
        int32_t more[kWide] = {};
        for (int64_t k = j; k < sources.size && passes<kStrict>(sources.x[k] - low, cut); ++k) {
            const float s = sources.x[k];
#pragma omp simd
            for (int64_t i = 0; i < kWide; ++i)
                more[i] += passes<kStrict>(s - block[i], cut) ? 1 : 0;
        }
        for (int64_t i = 0; i < n; ++i) passed[start + i] = static_cast<int32_t>(j) + more[i];
    }
}

void add_cut(const Points& sources, const float* targets, int64_t count, const Cut& cut,
             double* sums, double* slopes, LineRoom& room) {
    if (cut.is_strict)
        find_passed<true>(sources, targets, count, cut, room.passed);
    else
        find_passed<false>(sources, targets, count, cut, room.passed);
    for (int64_t i = 0; i < count; ++i) {
        const double weight = room.weights[room.passed[i]];
        const double line = room.scores[room.passed[i]] - weight * targets[i];
        sums[i] += cut.constant * weight + cut.slope * line;
        if (slopes != nullptr) slopes[i] += cut.slope * weight;
    }
}

// A cell's centre in two floats, so that the distance of x + shift from it keeps all its digits.
struct Centre {
    float high, low, shift, scale;
    Centre(double at, double width, double shift)
        : high(static_cast<float>(at)),
          low(static_cast<float>(at - static_cast<double>(high))),
          shift(static_cast<float>(shift)),
          scale(static_cast<float>(2.0 / width)) {}
    float operator()(float x) const { return (((x - high) - low) + shift) * scale; }
};

inline void powers(float u, float first, float* out) {
    const float u2 = u * u, u4 = u2 * u2;
#pragma omp simd
    for (int32_t k = 0; k < kNodes; ++k) {
        float p = first;
        p *= k & 1 ? u : 1.0f;
        p *= k & 2 ? u2 : 1.0f;
        p *= k & 4 ? u4 : 1.0f;
        out[k] = p;
    }
}

void find_cells(const Points& sources, const Curve& curve, LineRoom& room) {
    const double inverse = 1.0 / curve.width;
    double* places = room.places;
#pragma omp simd
    for (int64_t j = 0; j < sources.size; ++j)
        places[j] = std::floor(static_cast<double>(sources.x[j]) * inverse);
    room.cell_count = 0;
    double above = 0.0;
    for (int64_t first = 0; first < sources.size;) {
        int64_t last = first + 1;
        while (last < sources.size && places[last] == places[first]) ++last;
        room.cells[room.cell_count++] = {places[first], above, first, last, {}, {}};
        if (curve.beyond != 0.0)
            for (int64_t j = first; j < last; ++j) above += sources.w[j];
        first = last;
    }
    room.cells[room.cell_count] = {-INFINITY, above, sources.size, sources.size, {}, {}};
}

// The powers of every cell's sources, summed from each source to the last of its cell.
void sum_powers(const Points& sources, const Curve& curve, LineRoom& room) {
    float* suffixes = room.suffixes;
    for (int64_t c = 0; c < room.cell_count; ++c) {
        const Cell& cell = room.cells[c];
        const Centre centre((cell.id + 0.5) * curve.width, curve.width, 0.0);
        float base[kNodes] = {};
        for (int64_t stop = cell.last; stop > cell.first;) {
            const int64_t start = stop - cell.first > kRun ? stop - kRun : cell.first;
            float run[kNodes] = {};
            for (int64_t j = stop - 1; j >= start; --j) {
                float one[kNodes];
                powers(centre(sources.x[j]), sources.w[j], one);
                float* out = suffixes + j * kNodes;
#pragma omp simd
                for (int64_t k = 0; k < kNodes; ++k) {
                    run[k] += one[k];
                    out[k] = base[k] + run[k];
                }
            }
            std::memcpy(base, suffixes + start * kNodes, sizeof base);
            stop = start;
        }
    }
}

// exp(-distance), its square and its cube; most distances are those of neighbours.
class Decay {
  public:
    explicit Decay(double unit) : unit_(unit) {}
    const float* over(double distance) {
        if (distance != last_) {
            last_ = distance;
            const double y = std::exp(-distance * unit_);
            power_[0] = static_cast<float>(y);
            power_[1] = static_cast<float>(y * y);
            power_[2] = static_cast<float>(y * y * y);
        }
        return power_;
    }

  private:
    double unit_, last_ = -1.0;
    float power_[kTerms] = {};
};

// From every cell on, up and down, the sums of exp(-k |x| / tau).
void sum_tails(const Curve& curve, LineRoom& room) {
    Cell* cells = room.cells;
    Decay decay(curve.width / curve.tau);
    for (int64_t c = 0; c < room.cell_count; ++c) {
        const float* moments = room.suffixes + cells[c].first * kNodes;
        for (int64_t k = 0; k < kTerms; ++k) {
            float up = 0.0f, down = 0.0f;
            for (int64_t l = 0; l < kNodes; ++l) {
                up += curve.rise[k][l] * moments[l];
                down += (l & 1 ? -1.0f : 1.0f) * curve.rise[k][l] * moments[l];
            }
            cells[c].up[k] = up;
            cells[c].down[k] = down;
        }
        if (c == 0 || curve.is_cut) continue;
        const float* y = decay.over(cells[c - 1].id - cells[c].id);
        for (int64_t k = 0; k < kTerms; ++k) cells[c].down[k] += y[k] * cells[c - 1].down[k];
    }
    for (int64_t c = room.cell_count - 2; c >= 0; --c) {
        const float* y = decay.over(cells[c].id - cells[c + 1].id);
        for (int64_t k = 0; k < kTerms; ++k) cells[c].up[k] += y[k] * cells[c + 1].up[k];
    }
}

// Four sums side by side, so that none waits for the one before.
struct Four {
    float sums[4][kNodes];
};

// sums[l] += sum_k moments[k] table[k][l]
inline void multiply(const float* moments, const float* table, Four& four) {
#pragma GCC unroll 8
    for (int32_t k = 0; k < kNodes; ++k)
#pragma omp simd
        for (int32_t l = 0; l < kNodes; ++l)
            four.sums[k & 3][l] += moments[k] * table[k * kNodes + l];
}

inline void total(const Four& four, float* sums) {
#pragma omp simd
    for (int32_t l = 0; l < kNodes; ++l)
        sums[l] = (four.sums[0][l] + four.sums[1][l]) + (four.sums[2][l] + four.sums[3][l]);
}

// The first cell of sources that is not above `id`; from any cell on, as targets fall.
inline int64_t seek(const Cell* cells, int64_t c, double id) {
    while (c > 0 && cells[c - 1].id <= id) --c;
    while (cells[c].id > id) ++c;
    return c;
}

void find_homes(const float* targets, int64_t count, const Curve& curve, double* homes) {
    const double inverse = 1.0 / curve.width;
#pragma omp simd
    for (int64_t i = 0; i < count; ++i)
        homes[i] = std::floor((static_cast<double>(targets[i]) + curve.shift) * inverse);
}

// Targets of one cell are cut within its sources. Where rounding puts one beyond an edge, the cut is
// right and the cell is its neighbour. `c` is the first cell of sources not above theirs.
void mend_homes(int64_t first, int64_t last, int64_t c, const LineRoom& room) {
    const Cell* cells = room.cells;
    const int64_t high = cells[c].first;
    const int64_t low = cells[c].id == room.homes[first] ? cells[c].last : high;
    // More and more sources are beyond, as the targets fall.
    if (room.passed[first] >= high && room.passed[last - 1] <= low) return;
    const double above = c > 0 ? cells[c - 1].id : 0.0;
    const double below = cells[high < low ? c + 1 : c].id;
    for (int64_t i = first; i < last; ++i) {
        if (room.passed[i] < high) room.homes[i] = above;
        if (room.passed[i] > low) room.homes[i] = below;
    }
}

// What the sources of the cell in which the step is cut add to its targets, each from its first source
// below the cut: a polynomial in v for every power of u, a few targets side by side.
void add_below_cut(const float* targets, int64_t first, int64_t last, const Cell& cell,
                   const Centre& centre, const Curve& curve, const LineRoom& room, double* sums) {
    static const float nothing[kNodes] = {};
    for (int64_t start = first; start < last; start += kSide) {
        const float* suffixes[kSide];
        float v[kSide], at[kSide][kNodes];
        for (int64_t i = 0; i < kSide; ++i) {
            const int64_t target = start + i < last ? start + i : last - 1;
            const int64_t passed = room.passed[target];
            const int64_t from = passed > cell.first ? passed : cell.first;
            suffixes[i] = from < cell.last ? room.suffixes + from * kNodes : nothing;
            v[i] = centre(targets[target]);
            std::memcpy(at[i], curve.cut[kNodes - 1], sizeof at[i]);
        }
#pragma GCC unroll 8
        for (int64_t l = kNodes - 2; l >= 0; --l)
#pragma GCC unroll 4
            for (int64_t i = 0; i < kSide; ++i)
#pragma omp simd
                for (int64_t k = 0; k < kNodes; ++k) at[i][k] = at[i][k] * v[i] + curve.cut[l][k];
        for (int64_t i = 0; i < kSide && start + i < last; ++i) {
            float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
            for (int64_t k = 0; k < kNodes; ++k) sum += at[i][k] * suffixes[i][k];
            sums[start + i] += sum;
        }
    }
}

// What the sources far below and, of a curve that is not cut, far above add to a cell of targets.
void add_tails(double home, const Cell* above, const Cell* below, const Curve& curve,
               Decay (&decays)[2], float* local) {
    const double shift = curve.shift / curve.width;
    if (below->id > -INFINITY) {
        const float* y = decays[0].over(home - below->id - shift);
        for (int64_t k = 0; k < kTerms; ++k) {
            const float f = curve.tail[k] * y[k] * below->up[k];
            for (int64_t l = 0; l < kNodes; ++l)
                local[l] += (l & 1 ? -f : f) * curve.rise[k][l];
        }
    }
    if (above != nullptr && !curve.is_cut) {
        const float* y = decays[1].over(above->id - home);
        for (int64_t k = 0; k < kTerms; ++k) {
            const float f = (curve.is_slope ? 1.0f : -1.0f) * curve.tail[k] * y[k] * above->down[k];
            for (int64_t l = 0; l < kNodes; ++l) local[l] += f * curve.rise[k][l];
        }
    }
}

// The targets first .. last - 1, all of the cell `home`; `c` is the first source cell not above it.
void add_home(const float* targets, int64_t first, int64_t last, double home, int64_t c,
              const Curve& curve, const LineRoom& room, Decay (&decays)[2], double* sums) {
    const Cell* cells = room.cells;
    int64_t near = c;
    while (near > 0 && home - cells[near - 1].id >= curve.first) --near;
    const double far = curve.beyond * cells[near].above;
    const Cell* above = near > 0 ? cells + near - 1 : nullptr;
    Four four = {};
    for (; home - cells[near].id < curve.first + curve.count; ++near) {
        const int64_t e = static_cast<int64_t>(home - cells[near].id) - curve.first;
        if (curve.is_cut && e == 0) continue;
        multiply(room.suffixes + cells[near].first * kNodes,
                 curve.table + e * kNodes * kNodes, four);
    }
    float local[kNodes];
    total(four, local);
    add_tails(home, above, cells + near, curve, decays, local);
    const Centre centre((home + 0.5) * curve.width, curve.width, curve.shift);
    for (int64_t start = first; start < last; start += kWide) {
        float sum[kWide];
#pragma omp simd
        for (int64_t i = 0; i < kWide; ++i) {
            const float v = centre(targets[start + i]);
            float p = local[kNodes - 1];
            for (int64_t l = kNodes - 2; l >= 0; --l) p = p * v + local[l];
            sum[i] = p;
        }
        const int64_t n = last - start < kWide ? last - start : kWide;
        for (int64_t i = 0; i < n; ++i) sums[start + i] += far + sum[i];
    }
    if (!curve.is_cut || cells[c].id != home) return;
    add_below_cut(targets, first, last, cells[c], centre, curve, room, sums);
}

// All targets, a cell of them at a time.
void add_curve(const float* targets, int64_t count, const Curve& curve, double* sums,
               LineRoom& room) {
    const double* homes = room.homes;
    const auto end_of = [=](int64_t first) {
        int64_t last = first + 1;
        while (last < count && homes[last] == homes[first]) ++last;
        return last;
    };
    const double unit = curve.width / curve.tau;
    Decay decays[2] = {Decay(unit), Decay(unit)};
    int64_t c = 0;
    for (int64_t first = 0; first < count;) {
        int64_t last = end_of(first);
        c = seek(room.cells, c, homes[first]);
        if (curve.is_cut) {
            mend_homes(first, last, c, room);
            last = end_of(first);
            c = seek(room.cells, c, homes[first]);
        }
        add_home(targets, first, last, homes[first], c, curve, room, decays, sums);
        first = last;
    }
}

void add(Points sources, const float* targets, int64_t count, const Plan& plan, const Curve* slope,
         double* sums, double* slopes, LineRoom& room) {
    if (sources.size == 0 || count == 0) return;
    if (plan.cut_count > 0) sum_up(sources, room);
    for (int64_t c = 0; c < plan.cut_count; ++c)
        add_cut(sources, targets, count, plan.cuts[c], sums, slopes, room);
    if (!plan.has_curve) return;
    find_cells(sources, plan.curve, room);
    sum_powers(sources, plan.curve, room);
    sum_tails(plan.curve, room);
    find_homes(targets, count, plan.curve, room.homes);
    add_curve(targets, count, plan.curve, sums, room);
    if (slopes != nullptr) add_curve(targets, count, *slope, slopes, room);
}

}  // namespace

extern const LineKernels line_kernels;
const LineKernels line_kernels = {add};

}  // namespace LOOKALIKE_ISA
}  // namespace lookalike
