// Rows of floats in falling order, with their places.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace lookalike {

// One pass into several buckets a value, evenly along the line; what shares a bucket is put in order by
// insertion. Where values crowd together so that this takes long, an ordinary sort.
class Sorter {
  public:
    // Values and places are overwritten, in falling order of the values; equal ones keep theirs. All
    // are finite.
    void fall(float* values, int32_t* places, int64_t n) {
        float low = INFINITY, high = -INFINITY;
        int32_t rises = 0;
#pragma omp simd reduction(min : low) reduction(max : high)
        for (int64_t i = 0; i < n; ++i) {
            low = values[i] < low ? values[i] : low;
            high = values[i] > high ? values[i] : high;
        }
#pragma omp simd reduction(| : rises)
        for (int64_t i = 1; i < n; ++i) rises |= values[i - 1] < values[i] ? 1 : 0;
        if (rises == 0) return;
        if (n > static_cast<int64_t>(items_.size())) {
            items_.resize(n);
            buckets_.resize(n);
        }
        int64_t size = kBuckets;
        while (size < kEach * n && size < kMostBuckets) size *= 2;
        if (size > static_cast<int64_t>(counts_.size())) counts_.resize(size);
        // A range too wide or too narrow for floats is one bucket.
        const float scale = static_cast<float>(size - 1) / (high - low);
        const bool is_plain = std::isfinite(scale) && scale > 0.0f;
        scatter(values, places, n, is_plain ? high : 0.0f, is_plain ? scale : 0.0f, size);
        settle(n);
        for (int64_t i = 0; i < n; ++i) {
            values[i] = items_[i].value;
            places[i] = items_[i].place;
        }
    }

  private:
    static constexpr int64_t kBuckets = 256, kMostBuckets = 1 << 16, kEach = 3, kMoves = 8;

    struct Item {
        float value;
        int32_t place;
    };

    void scatter(const float* values, const int32_t* places, int64_t n, float high, float scale,
                 int64_t size) {
        int32_t *buckets = buckets_.data(), *counts = counts_.data();
        const int32_t last = static_cast<int32_t>(size - 1);
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) {
            const int32_t at = static_cast<int32_t>((high - values[i]) * scale);
            buckets[i] = at < last ? at : last;
        }
        std::memset(counts, 0, size * sizeof(int32_t));
        for (int64_t i = 0; i < n; ++i) ++counts[buckets[i]];
        int32_t before = 0;
        for (int64_t b = 0; b < size; ++b) {
            const int32_t count = counts[b];
            counts[b] = before;
            before += count;
        }
        for (int64_t i = 0; i < n; ++i) items_[counts[buckets[i]]++] = {values[i], places[i]};
    }

    void settle(int64_t n) {
        Item* items = items_.data();
        int64_t moves = kMoves * n;
        for (int64_t i = 1; i < n; ++i) {
            const Item item = items[i];
            int64_t j = i;
            for (; j > 0 && items[j - 1].value < item.value; --j, --moves) items[j] = items[j - 1];
            items[j] = item;
            if (moves <= 0) break;
        }
        if (moves <= 0)
            std::stable_sort(items, items + n,
                             [](const Item& a, const Item& b) { return a.value > b.value; });
    }

    std::vector<Item> items_;
    std::vector<int32_t> buckets_, counts_;
};

}  // namespace lookalike
