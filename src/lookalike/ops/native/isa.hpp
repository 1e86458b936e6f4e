// Which instruction sets this library was built for and this processor has.
#pragma once

#include <string>
#include <vector>

namespace lookalike {

// Best first; "baseline" is always the last.
inline std::vector<std::string> instruction_sets() {
    std::vector<std::string> names;
#if defined(LOOKALIKE_X86)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        names.push_back("avx512");
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) names.push_back("avx2");
#endif
    names.push_back("baseline");
    return names;
}

}  // namespace lookalike
