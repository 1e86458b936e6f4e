// Rows shared out to a few threads; each row has one owner, so results do not depend on how many.
#pragma once

#include <cstdint>
#include <thread>
#include <vector>

namespace lookalike {

// Calls work(first, last) on contiguous ranges. `cost` is the rough number of operations a row, by
// which small jobs stay on one thread.
template <typename Work>
void share_rows(int64_t rows, int64_t cost, int threads, const Work& work) {
    const int64_t worth = rows * cost / (1 << 18) + 1;
    const int64_t count = threads < worth ? threads : worth;
    if (count <= 1 || rows <= 1) {
        work(int64_t{0}, rows);
        return;
    }
    std::vector<std::thread> pool;
    for (int64_t t = 1; t < count; ++t)
        pool.emplace_back(
            [&work, rows, count, t] { work(rows * t / count, rows * (t + 1) / count); });
    work(int64_t{0}, rows / count);
    for (auto& thread : pool) thread.join();
}

}  // namespace lookalike
