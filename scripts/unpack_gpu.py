"""Unpack the wheels of .gpu/ that this Python lacks: unpack_gpu.py WHEELS TARGET.

Needs nothing but Python, not even pip. A package that is there already, in whatever version, is
left as it is. Of our own wheel only the native kernels and the metadata are taken: the sources are
those of the checkout.
"""

from __future__ import annotations

import hashlib
import sys
import zipfile
from importlib import metadata
from pathlib import Path

NATIVE = Path("src/lookalike/ops")


def is_there(name: str, target: Path) -> bool:
    """Whether this Python has the package without what was unpacked before."""
    path = [entry for entry in sys.path if entry and Path(entry).resolve() != target.resolve()]
    return next(metadata.distributions(name=name, path=path), None) is not None


def native_digest() -> str:
    """What pack_gpu.sh computes: of the sources of the native kernels."""
    folder = NATIVE / "native"
    files = [
        folder / "CMakeLists.txt",
        *sorted(folder.glob("*.cpp")),
        *sorted(folder.glob("*.hpp")),
    ]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def main(wheels: Path, target: Path) -> None:
    """Unpack, and say what came from where."""
    target.mkdir(parents=True, exist_ok=True)
    fits = (wheels / "native.sha256").read_text().strip() == native_digest()
    taken, there = [], []
    for wheel in sorted(wheels.glob("*.whl")):
        name = wheel.name.split("-")[0].replace("_", "-")
        with zipfile.ZipFile(wheel) as archive:
            if name == "lookalike":
                members = archive.namelist()
                archive.extractall(target, [m for m in members if ".dist-info/" in m])
                for member in members if fits else ():
                    if Path(member).name.startswith("_native"):
                        (NATIVE / Path(member).name).write_bytes(archive.read(member))
            elif is_there(name, target):
                there.append(name)
            else:
                archive.extractall(target)
                taken.append(name)
    print(f"unpacked into {target}: {', '.join(taken) or 'nothing'}")
    print(f"already there: {', '.join(there) or 'none'}")
    if not fits:
        print(
            f"{wheels} was packed from other native sources than this checkout's, so its kernels "
            "are left out: run scripts/pack_gpu.sh again"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
