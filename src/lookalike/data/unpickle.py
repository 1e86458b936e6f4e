"""The one place where pickles of others are read: containers, numbers, text and arrays only.

A pickle is a program; loading one from a stranger can run anything. Here a name outside the list
below is refused before it is looked up.
"""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

from lookalike.errors import DataError

_PLAIN = {"bytes", "bytearray", "complex", "dict", "frozenset", "list", "set", "slice", "tuple"}
_ALLOWED = {
    "builtins": _PLAIN,
    "__builtin__": _PLAIN,
    "collections": {"OrderedDict"},
    "_codecs": {"encode"},
    "numpy": {"ndarray", "dtype"},
    "numpy.core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "numpy.core.numeric": {"_frombuffer"},
    "numpy._core.numeric": {"_frombuffer"},
}


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if name not in _ALLOWED.get(module, ()):
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which data has no need of")
        return super().find_class(module, name)


def load(file: str | Path) -> Any:
    """The content of a pickle, or of a file of ``torch.save``, without running any of it.

    Old pickles of Python 2 are read too (their texts as Latin-1).

    Args:
        file: such as ``gnd_roxford5k.pkl``, a split dictionary, a ``.pth``.

    Raises:
        DataError: no such file, no pickle, a damaged one, or one that asks for more than
            containers, numbers, texts, numpy arrays and tensors.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "a.pkl"
        >>> _ = file.write_bytes(pickle.dumps({"train": [["a.jpg"]]}))
        >>> load(file)
        {'train': [['a.jpg']]}
    """
    path = Path(file)
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if zipfile.is_zipfile(path):
        return _load_torch(path)
    try:
        with path.open("rb") as stream:
            return _Restricted(stream, encoding="latin1").load()
    except pickle.UnpicklingError as e:
        raise DataError(f"{path}: refused: {e}") from None
    except (
        OSError,
        EOFError,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        ImportError,
        MemoryError,
        OverflowError,
    ) as e:
        raise DataError(f"{path}: no pickle, or a damaged one: {e or type(e).__name__}") from None


def _load_torch(path: Path) -> Any:
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as e:
        reason = str(e).strip().splitlines()[0]
        raise DataError(f"{path}: refused, or damaged: {reason}") from None
