"""The one place where pickles of others are read: containers, numbers, text and arrays only.

A pickle is a program; loading one from a stranger can run anything. Here a name outside the list
below is refused before it is looked up.
"""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from types import SimpleNamespace
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


def load_checkpoint(file: str | Path) -> Any:
    """The content of a file of ``torch.save`` of any age, without running any of it.

    What is neither a container, a number, a text, an array nor a tensor (the settings, optimisers
    and generators that checkpoints hold besides) is left out: an empty object stands in its place.

    Args:
        file: such as ``rolling.ckpt`` or ``model_best.pth.tar``.

    Raises:
        DataError: no such file, or a damaged one.
    """
    import torch

    path = Path(file)
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        pass  # it asks for more than weights, or is damaged: the next attempt tells
    except _DAMAGED as e:
        raise _damaged(path, e) from None
    reader = SimpleNamespace(Unpickler=_Blind, load=_load_blind, __name__="pickle")
    try:
        return torch.load(path, map_location="cpu", weights_only=False, pickle_module=reader)
    except (pickle.UnpicklingError, *_DAMAGED) as e:
        raise _damaged(path, e) from None


_DAMAGED = (
    RuntimeError,
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
)
_TENSORS = {"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter"}


def _damaged(path: Path, error: Exception) -> DataError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return DataError(f"{path}: no checkpoint of PyTorch, or a damaged one: {reason}")


class _LeftOut:
    """Stands where a checkpoint has an object of a class that data has no need of."""

    def __init__(self, *_args: Any, **_options: Any) -> None:
        pass

    def __call__(self, *_args: Any, **_options: Any) -> _LeftOut:
        return self

    def __setstate__(self, _state: Any) -> None:
        pass

    def __setitem__(self, _key: Any, _value: Any) -> None:
        pass

    def append(self, _item: Any) -> None:
        pass

    def extend(self, _items: Any) -> None:
        pass


class _Blind(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        import torch

        if name in _ALLOWED.get(module, ()) or (module == "torch._utils" and name in _TENSORS):
            return super().find_class(module, name)
        if module == "torch" and isinstance(found := getattr(torch, name, None), torch.dtype):
            return found
        if module == "torch" and (name in ("Size", "device") or name.endswith("Storage")):
            return super().find_class(module, name)
        return _LeftOut


def _load_blind(stream: Any, **options: Any) -> Any:
    return _Blind(stream, **options).load()
