"""What each Triton kernel takes of a GPU, compiled ahead of time: no card is needed.

``python benchmarks/gpu_kernels.py`` prints registers and spilled bytes a thread, shared memory a
block, and how many warps a multiprocessor holds of them, for compute capabilities 8.0 and 9.0.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from lookalike.ops import (
    triton_bins,
    triton_cells,
    triton_counts,
    triton_kernels,
    triton_lines,
    triton_pairs,
    triton_rows,
)

CAPABILITIES = (80, 90)
# Of a multiprocessor, both capabilities: warps, registers, bytes of shared memory less a reserve.
WARPS, REGISTERS, SHARED = 64, 65536, {80: 163 << 10, 90: 227 << 10}
_F, _D, _I, _L = "*fp32", "*fp64", "*i32", "*i64"
# By the name of an argument; whatever is not here is a whole number.
TYPES = {
    "scores": _F, "pivots": _F, "weights": _F, "sums": _F, "slopes": _F, "square": _F,
    "points": _F, "targets": _F, "found": _F, "moments": _F, "table": _F, "polynomials": _F,
    "levels": _F, "by_sums": _F, "rows": _F, "unit": _F, "lengths": _F, "grads": _F,
    "numbers": _D, "cuts": _D, "top": _D, "cumulated": _D, "count": _I, "edges": _I,
    "inverse_tau": "fp32", "start": "fp32", "delta": "fp32", "rho": "fp32", "offset": "fp32",
    "floor": "fp32", "shares": _F,
}  # fmt: skip
_STEPS = {"sigmoid": {"is_sigmoid": True}, "bound": {"is_sigmoid": False}}


@dataclass(frozen=True)
class Kernel:
    """One kernel as it is launched.

    Attributes:
        name: with what sets this launch apart.
        function: Triton's.
        constants: what it is compiled for.
        options: of the launch.
        types: of arguments, where `TYPES` has others.
    """

    name: str
    function: Any
    constants: dict[str, Any]
    options: dict[str, Any]
    types: dict[str, str]


def kernels() -> Iterator[Kernel]:
    """All of them, in the shapes that losses and evaluation launch."""
    for together in (1, 2, triton_kernels.MOST_PIVOTS):
        tile = {"columns": triton_kernels.TILE // together, "pivots_at_once": together}
        for kind, step in _STEPS.items():
            what = f"{kind}, {together} pivots"
            yield _kernel(f"sums and slopes, {what}", triton_kernels._sum_rows,
                          tile | step | {"has_slopes": True})  # fmt: skip
            yield _kernel(f"shares, {what}", triton_kernels._mix, tile | step)
    yield _kernel("transpose", triton_kernels._add_transpose, triton_kernels._SQUARE)
    for together in (4, triton_pairs.MOST_TOGETHER):
        tile = {"together": together, "others": triton_pairs.TILE // together}
        for what, kinds, is_slope in (("exact", (1, 2, 2), False), ("bounded", (1, 2, 3), True)):
            steps = dict(zip(("lower", "peer", "better"), kinds, strict=True))
            yield _kernel(f"pairs, {what}, {together} at once", triton_pairs._sum_pairs,
                          tile | steps | {"has_levels": True, "is_slope": is_slope},
                          {"numbers": _F})  # fmt: skip
    tile = {"together": 8, "columns": triton_bins.TILE // 8}
    real = {"high": "fp32", "density": "fp32"}
    yield _kernel("histogram", triton_bins._fill, tile, real)
    yield _kernel("its slopes", triton_bins._look_up, triton_bins._SCORES, real)
    yield _kernel("counts with ties", triton_bins._count, tile)
    yield _kernel("shares of counts", triton_bins._mix, triton_bins._SCORES)
    yield _kernel("unit rows", triton_rows._divide, {"columns": 512})
    yield _kernel("their slopes", triton_rows._turn, {"columns": 512})
    yield _kernel("edges of cells", triton_cells._find_edges, triton_cells._EDGES)
    yield _kernel("moments", triton_cells._add_moments,
                  triton_cells._MOMENTS | {"has_weights": True})  # fmt: skip
    yield _kernel("polynomials", triton_cells._collect, triton_cells._CELLS)
    flags = {"has_weights": False, "has_scores": True, "cut_count": 2, "has_curve": True,
             "is_cut": True, "is_slope": False, "nodes": 8, "halvings": 13}  # fmt: skip
    slopes = {"has_weights": True, "has_scores": False, "cut_count": 1, "is_slope": True}
    for what, more in (("sums", {}), ("slopes", slopes)):
        yield _kernel(f"values of a line, {what}", triton_lines._values,
                      triton_lines._TARGETS | flags | more, {"scores": _D})  # fmt: skip
    for kind in (_F, _D):
        bits = {_F: "float32", _D: "float64"}[kind]
        counted = {"scores": kind, "low": kind, "high": kind, "above": _L, "reach": _L}
        yield _kernel(f"counts, {bits}", triton_counts._count, triton_counts._SHAPE, counted)
        pairs = {"query": kind, "gallery": kind, "rows": _L, "items": _L, "found": _D}
        yield _kernel(f"exact products, {bits}", triton_counts._dots, triton_counts._PAIRS, pairs)


def _kernel(
    name: str, function: Any, given: dict[str, Any], types: dict[str, str] | None = None
) -> Kernel:
    constants = {key: value for key, value in given.items() if key in function.arg_names}
    options = {key: value for key, value in given.items() if key not in constants}
    return Kernel(name, function, constants, options, types or {})


def compiled(kernel: Kernel, capability: int) -> Any:
    """Triton's compiled kernel for a compute capability."""
    known = TYPES | kernel.types
    names = kernel.function.arg_names
    signature = {n: "constexpr" if n in kernel.constants else known.get(n, "i32") for n in names}
    # As a launch finds them: memory comes aligned, and widths are multiples of 16 mostly.
    aligned = [n for n in names if signature[n].startswith("*") or n in ("width", "side")]
    attributes = {(names.index(n),): [["tt.divisibility", 16]] for n in aligned}
    source = ASTSource(kernel.function, signature, kernel.constants, attributes)
    return triton.compile(source, GPUTarget("cuda", capability, 32), kernel.options)


def resources(kernel: Kernel, capability: int) -> dict[str, int]:
    """Registers and stack bytes a thread, shared bytes a block, and warps a multiprocessor."""
    found = compiled(kernel, capability)
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(found.asm["cubin"])
        file.flush()
        command = [str(tool), "-res-usage", file.name]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    numbers = {key: int(value) for key, value in re.findall(r"(REG|STACK|SHARED):(\d+)", told)}
    warps = kernel.options.get("num_warps", 4)
    # Registers are given out to a warp in portions of 256.
    by_registers = REGISTERS // (-(-numbers["REG"] * 32 // 256) * 256 * warps)
    by_memory = SHARED[capability] // max(1, numbers["SHARED"] + found.metadata.shared)
    blocks = min(WARPS // warps, 32, by_registers, by_memory)
    return {
        "registers": numbers["REG"],
        "spilled": numbers["STACK"],
        "shared": found.metadata.shared,
        "warps": blocks * warps,
    }


def main() -> None:
    """Print the table."""
    print("| kernel | capability | registers | spilled | shared | warps of 64 |")
    print("|---|--:|--:|--:|--:|--:|")
    for kernel in kernels():
        for capability in CAPABILITIES:
            found = resources(kernel, capability)
            cells = " | ".join(str(found[key]) for key in ("registers", "spilled", "shared"))
            print(f"| {kernel.name} | {capability / 10} | {cells} | {found['warps']} |")


if __name__ == "__main__":
    main()
