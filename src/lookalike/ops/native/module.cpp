// lookalike.ops._native: the CPU kernels. Raw float buffers in and out; nothing of torch is linked.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "isa.hpp"

namespace nb = nanobind;

namespace lookalike {
void bind_steps(nb::module_& module);
void bind_pairs(nb::module_& module);
void bind_lines(nb::module_& module);
void bind_line_pairs(nb::module_& module);
void bind_positives(nb::module_& module);
void bind_rows(nb::module_& module);
void bind_count(nb::module_& module);
void bind_tiles(nb::module_& module);
}  // namespace lookalike

NB_MODULE(_native, module) {
    // Raised with every change of a signature; lookalike/ops/paths.py asks for the same number.
    module.attr("interface") = 7;
    module.def("instruction_sets", &lookalike::instruction_sets);
    lookalike::bind_steps(module);
    lookalike::bind_pairs(module);
    lookalike::bind_lines(module);
    lookalike::bind_line_pairs(module);
    lookalike::bind_positives(module);
    lookalike::bind_rows(module);
    lookalike::bind_count(module);
    lookalike::bind_tiles(module);
}
