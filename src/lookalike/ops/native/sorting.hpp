// Rows of floats in falling order, with their places.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace lookalike {

// Two passes over 11 bits each of a position on the line, then the few that share one by insertion.
class Sorter {
  public:
    // Values and places are overwritten, in falling order of the values. All are finite.
    void fall(std::vector<float>& values, std::vector<int32_t>& places) {
        const int64_t n = static_cast<int64_t>(values.size());
        if (std::is_sorted(values.begin(), values.end(), [](float a, float b) { return a > b; }))
            return;
        keys_.resize(n);
        other_.resize(n);
        held_.resize(n);
        float low = values[0], high = values[0];
        for (int64_t i = 1; i < n; ++i) {
            low = values[i] < low ? values[i] : low;
            high = values[i] > high ? values[i] : high;
        }
        const double scale = kTop / (static_cast<double>(high) - low);
        std::memset(counts_, 0, sizeof counts_);
        for (int64_t i = 0; i < n; ++i) {
            const double at = (static_cast<double>(high) - values[i]) * scale;
            const uint64_t key = static_cast<uint64_t>(at);
            keys_[i] = key << 32 | static_cast<uint64_t>(i);
            ++counts_[0][key & kMask];
            ++counts_[1][key >> kBits];
        }
        pass(keys_, other_, counts_[0], 32);
        pass(other_, keys_, counts_[1], 32 + kBits);
        std::memcpy(held_.data(), values.data(), n * sizeof(float));
        for (int64_t i = 0; i < n; ++i) values[i] = held_[keys_[i] & UINT32_MAX];
        settle(values, places);
    }

  private:
    static constexpr int kBits = 11;
    static constexpr uint64_t kMask = (1 << kBits) - 1;
    static constexpr double kTop = (1 << (2 * kBits)) - 1;

    static void pass(const std::vector<uint64_t>& from, std::vector<uint64_t>& to, int32_t* counts,
                     int shift) {
        int32_t before = 0;
        for (uint64_t b = 0; b <= kMask; ++b) {
            const int32_t count = counts[b];
            counts[b] = before;
            before += count;
        }
        for (const uint64_t key : from) to[counts[key >> shift & kMask]++] = key;
    }

    // Insertion, unless so many share a position that it would take long.
    void settle(std::vector<float>& values, std::vector<int32_t>& places) {
        const int64_t n = static_cast<int64_t>(values.size());
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
        ordered_.resize(n);
        for (int64_t i = 0; i < n; ++i) ordered_[i] = places[keys_[i] & UINT32_MAX];
        std::memcpy(places.data(), ordered_.data(), n * sizeof(int32_t));
    }

    std::vector<uint64_t> keys_, other_;
    std::vector<float> held_;
    std::vector<int32_t> ordered_;
    int32_t counts_[2][1 << kBits];
};

}  // namespace lookalike
