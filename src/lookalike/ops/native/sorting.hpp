// Rows of floats in falling order, with their places.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace lookalike {

// Two passes over a few bits each of a position on the line, then those that share one by insertion.
class Sorter {
  public:
    // Values and places are overwritten, in falling order of the values. All are finite.
    void fall(float* values, int32_t* places, int64_t n) {
        bool falls = true;
        for (int64_t i = 1; i < n; ++i) falls &= values[i - 1] >= values[i];
        if (falls) return;
        if (n > static_cast<int64_t>(keys_.size())) {
            keys_.resize(n);
            other_.resize(n);
            held_.resize(n);
            ordered_.resize(n);
        }
        float low = values[0], high = values[0];
        for (int64_t i = 1; i < n; ++i) {
            low = values[i] < low ? values[i] : low;
            high = values[i] > high ? values[i] : high;
        }
        // Short rows have few counters to sum up.
        const int bits = n < 1500 ? kBits - 3 : kBits;
        const uint64_t mask = (1 << bits) - 1;
        const double top = static_cast<double>((int64_t{1} << (2 * bits)) - 1);
        const double scale = top / (static_cast<double>(high) - low);
        std::memset(counts_[0], 0, (mask + 1) * sizeof(int32_t));
        std::memset(counts_[1], 0, (mask + 1) * sizeof(int32_t));
        for (int64_t i = 0; i < n; ++i) {
            const double at = (static_cast<double>(high) - values[i]) * scale;
            const uint64_t key = static_cast<uint64_t>(static_cast<int64_t>(at));
            keys_[i] = key << 32 | static_cast<uint64_t>(i);
            ++counts_[0][key & mask];
            ++counts_[1][key >> bits];
        }
        pass(keys_.data(), other_.data(), n, counts_[0], 32, mask);
        pass(other_.data(), keys_.data(), n, counts_[1], 32 + bits, mask);
        std::memcpy(held_.data(), values, n * sizeof(float));
        for (int64_t i = 0; i < n; ++i) values[i] = held_[keys_[i] & UINT32_MAX];
        settle(values, n);
        for (int64_t i = 0; i < n; ++i) ordered_[i] = places[keys_[i] & UINT32_MAX];
        std::memcpy(places, ordered_.data(), n * sizeof(int32_t));
    }

  private:
    static constexpr int kBits = 11;

    static void pass(const uint64_t* from, uint64_t* to, int64_t n, int32_t* counts, int shift,
                     uint64_t mask) {
        int32_t before = 0;
        for (uint64_t b = 0; b <= mask; ++b) {
            const int32_t count = counts[b];
            counts[b] = before;
            before += count;
        }
        for (int64_t i = 0; i < n; ++i) to[counts[from[i] >> shift & mask]++] = from[i];
    }

    // Insertion, unless so many share a position that it would take long.
    void settle(float* values, int64_t n) {
        int64_t moves = 8 * n;
        for (int64_t i = 1; i < n && moves > 0; ++i) {
            const float value = values[i];
            const uint64_t key = keys_[i];
            int64_t j = i;
            for (; j > 0 && values[j - 1] < value; --j, --moves) {
                values[j] = values[j - 1];
                keys_[j] = keys_[j - 1];
            }
            values[j] = value;
            keys_[j] = key;
        }
        if (moves <= 0) {
            std::stable_sort(keys_.begin(), keys_.begin() + n, [this](uint64_t a, uint64_t b) {
                return held_[a & UINT32_MAX] > held_[b & UINT32_MAX];
            });
            for (int64_t i = 0; i < n; ++i) values[i] = held_[keys_[i] & UINT32_MAX];
        }
    }

    std::vector<uint64_t> keys_, other_;
    std::vector<float> held_;
    std::vector<int32_t> ordered_;
    int32_t counts_[2][1 << kBits];
};

}  // namespace lookalike
