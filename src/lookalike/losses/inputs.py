"""What every loss does first: check the call, normalise, choose precision and label columns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lookalike.errors import LookalikeError, NumericsError
from lookalike.ops import paths
from lookalike.ops.labels import DISTRACTOR, is_absent, label_columns

_FLOOR = 1e-12  # of a norm that is divided by


@dataclass(frozen=True)
class Pairing:
    """Queries and the references they are compared with, ready for arithmetic.

    Attributes:
        query: ``(B, D)`` float32 or float64.
        reference: ``(M, D)``, the very same tensor as ``query`` when there is no other.
        query_labels: ``(B, L)`` int64, column 0 the finest level.
        reference_labels: ``(M, L)`` int64.
        is_self: whether row i of ``reference`` is query i itself, so that the diagonal is self.
        own: ``(B,)`` the reference that is a copy of each query, -1 where there is none; None when
            nothing is known of copies, or ``is_self`` says it all.
        candidates: ``(B, M)`` bool, the references each query is compared with; None is all.
    """

    query: Tensor
    reference: Tensor
    query_labels: Tensor
    reference_labels: Tensor
    is_self: bool
    own: Tensor | None = None
    candidates: Tensor | None = None

    @property
    def knows_self(self) -> bool:
        """Whether it is known which reference is the query itself."""
        return self.is_self or self.own is not None

    def level(self, level: int) -> tuple[Tensor, Tensor]:
        """The labels of one level, ``(B,)`` and ``(M,)``."""
        columns = self.query_labels.shape[1]
        if not -columns <= level < columns:
            raise LookalikeError(
                f"level={level}, but the labels have {columns} column(s), numbered from 0 (finest)."
            )
        return self.query_labels[:, level], self.reference_labels[:, level]


def pair(
    loss: str,
    embeddings: Any,
    labels: Any,
    indices_tuple: Any = None,
    ref_emb: Any = None,
    ref_labels: Any = None,
    *,
    normalize: bool = True,
    numbered: bool = False,
) -> Pairing:
    """Check one call of a loss and bring it into the one form all losses work on.

    Args:
        loss: the loss's name, for messages.
        embeddings: ``(B, D)`` of any floating type; float64 stays, all else becomes float32. A
            tensor, or an array or a list, which carries no gradient.
        labels: ``(B,)`` or ``(B, L)`` integers, on any device, in any container; or strings.
        indices_tuple: must be None unless there is a reference set; what it means there, the loss
            knows (:func:`lookalike.losses.pairs.among`).
        ref_emb: ``(M, D)``, or None for the batch itself.
        ref_labels: ``(M,)`` or ``(M, L)``; required with ``ref_emb``.
        normalize: divide every embedding by its Euclidean norm.
        numbered: labels are the numbers of learned class vectors, so that strings, whose numbers
            would differ from batch to batch, are refused.

    Raises:
        LookalikeError: shapes that do not fit, a mined tuple, a reference without labels.
        NumericsError: NaN or infinity among the embeddings.
    """
    is_self = ref_emb is None or ref_emb is embeddings
    if indices_tuple is not None and is_self:
        raise LookalikeError(
            f"{loss} ranks whole batches and takes no indices_tuple (mined pairs). "
            "Drop the miner, or use a pair loss such as Triplet."
        )
    query = real(loss, embeddings, "embeddings", normalize)
    if not numbered:
        labels, ref_labels = _without_words(loss, labels, ref_labels)
    query_labels = columns(loss, labels, query.shape[0], "labels").to(query.device)
    if is_self:
        if ref_labels is not None and ref_emb is None:
            raise LookalikeError(f"{loss}: ref_labels were given without ref_emb.")
        return Pairing(query, query, query_labels, query_labels, is_self)
    if ref_labels is None:
        raise LookalikeError(f"{loss}: ref_emb was given without ref_labels.")
    reference = real(loss, ref_emb, "ref_emb", normalize).to(query.dtype)
    reference_labels = columns(loss, ref_labels, reference.shape[0], "ref_labels")
    if reference.shape[1] != query.shape[1]:
        raise LookalikeError(
            f"{loss}: embeddings are {query.shape[1]} wide and ref_emb {reference.shape[1]}."
        )
    if reference_labels.shape[1] != query_labels.shape[1]:
        raise LookalikeError(
            f"{loss}: labels have {query_labels.shape[1]} level(s) and ref_labels "
            f"{reference_labels.shape[1]}."
        )
    return Pairing(query, reference, query_labels, reference_labels.to(query.device), False)


def tensor(loss: str, value: Any, name: str) -> Tensor:
    """A tensor as it is; an array or a list of numbers, or of tensors, as one."""
    if isinstance(value, Tensor):
        return value
    try:
        if isinstance(value, list | tuple) and value and isinstance(value[0], Tensor):
            return torch.stack(list(value))
        return torch.as_tensor(np.asarray(value) if hasattr(value, "__array__") else value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise LookalikeError(
            f"{loss}: {name} must be a tensor (batch, width), or an array of numbers, not "
            f"{type(value).__name__}: {error}"
        ) from error


def real(loss: str, x: Any, name: str, normalize: bool) -> Tensor:
    """``(B, D)`` in float32 or float64, finite, and of unit rows if asked."""
    x = tensor(loss, x, name)
    if x.dim() != 2:
        raise LookalikeError(f"{loss}: {name} must be (batch, width), not {tuple(x.shape)}.")
    if not x.dtype.is_floating_point:
        raise LookalikeError(f"{loss}: {name} must be floating point, not {x.dtype}.")
    with torch.autocast(x.device.type, enabled=False):
        # Below the smallest normal number of float16 a row has no direction left.
        floor = max(_FLOOR, torch.finfo(torch.float16).tiny if x.dtype == torch.float16 else 0.0)
        x = x if x.dtype == torch.float64 else x.float()
        # One pass: a sum is finite only if every entry is (or overflows, which is as bad).
        if not math.isfinite(float(x.detach().sum())):
            rows = (~torch.isfinite(x.detach())).any(dim=1).nonzero().flatten()[:5].tolist()
            raise NumericsError(
                f"{loss}: {name} hold NaN or infinity (rows {rows}). Lower the learning rate, "
                "clip gradients, or look at those images."
            )
        return unit_rows(x, floor) if normalize else x


def _without_words(loss: str, labels: Any, ref_labels: Any) -> tuple[Any, Any]:
    """Strings as numbers of one code book of both sides; anything else as it is."""
    sides = {"labels": labels, "ref_labels": ref_labels}
    words = {name: side for name, side in sides.items() if not isinstance(side, Tensor | None)}
    found = {name: label_columns(side, f"{loss}: {name}") for name, side in words.items()}
    texts = [column.dtype.kind == "U" for side in found.values() for column in side]
    if not any(texts):
        return labels, ref_labels
    given = sum(side is not None for side in sides.values())
    if not all(texts) or len(found) < given or len({len(side) for side in found.values()}) > 1:
        raise LookalikeError(f"{loss}: labels and ref_labels must both be strings, or numbers.")
    coded: dict[str, list[np.ndarray]] = {name: [] for name in found}
    for level in zip(*found.values(), strict=True):
        values, codes = np.unique(np.concatenate(level), return_inverse=True)
        codes = np.where(is_absent(values)[codes], DISTRACTOR, codes)
        for name, part in zip(found, np.split(codes, [len(level[0])]), strict=False):
            coded[name].append(part)
    sides |= {name: torch.from_numpy(np.stack(side, axis=1)) for name, side in coded.items()}
    return sides["labels"], sides["ref_labels"]


def soft_labels(labels: Any) -> Any:
    """Shares of classes as a tensor where they came as an array or lists; else what was given."""
    if isinstance(labels, Tensor):
        return labels
    try:
        array = np.asarray(labels)
    except ValueError:  # rows of different lengths
        return labels
    return torch.from_numpy(array) if array.ndim == 2 and array.dtype.kind == "f" else labels


def unit_rows(x: Tensor, floor: float = _FLOOR) -> Tensor:
    """Rows divided by their Euclidean norm, or by 1e-12 where that is larger.

    The values of ``torch.nn.functional.normalize``, with a backward of two passes, not eight. A row
    shorter than ``floor`` has no direction to turn: its gradient is 0, where ``normalize`` gives
    1e12 times the incoming one, which no step and no float16 survives.
    """
    return _UnitRows.apply(x, floor)  # pyright: ignore[reportReturnType]


class _UnitRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, floor: float) -> Tensor:
        ctx.floor = floor
        if paths.triton_suits(x):
            unit, length = import_module("lookalike.ops.triton_rows").unit_rows(x, _FLOOR)
            ctx.save_for_backward(x, unit, length)
            return unit
        unit = x / torch.linalg.vector_norm(x, dim=1, keepdim=True).clamp(min=_FLOOR)
        ctx.save_for_backward(x, unit)
        return unit

    @staticmethod
    def backward(ctx: Any, *grad_output: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        # From inputs and outputs only, so that autograd can differentiate this once more.
        x, unit, *length = ctx.saved_tensors
        grad = grad_output[0]
        if length and not torch.is_grad_enabled():
            rows = import_module("lookalike.ops.triton_rows")
            return rows.unit_rows_slope(grad, unit, length[0], ctx.floor), None
        norm = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        radial = torch.linalg.vecdot(grad, unit)[:, None]
        length = torch.where(norm >= ctx.floor, norm, torch.inf)
        return torch.addcmul(grad, unit, radial, value=-1).div_(length), None


def columns(loss: str, labels: Any, rows: int, name: str, *, keep: bool = False) -> Tensor:
    """Labels as an int64 matrix ``(rows, L)``; with ``keep`` one column stays a vector."""
    if not isinstance(labels, Tensor):
        found = label_columns(labels, f"{loss}: {name}")
        if any(column.dtype.kind == "U" for column in found):
            raise LookalikeError(
                f"{loss}: {name} are strings, but classes are known by number here, the same in "
                "every batch. Number them first: numpy.unique(labels, return_inverse=True)[1]."
            )
        labels = torch.from_numpy(np.stack(found, axis=1).astype(np.int64))
        labels = labels[:, 0] if labels.shape[1] == 1 else labels
    if keep:
        return labels
    if labels.dtype.is_floating_point or labels.dtype == torch.bool:
        raise LookalikeError(f"{loss}: {name} must be integers, not {labels.dtype}.")
    if labels.dim() not in (1, 2) or labels.shape[0] != rows:
        raise LookalikeError(
            f"{loss}: {name} must be ({rows},) or ({rows}, levels), not {tuple(labels.shape)}."
        )
    return labels.reshape(rows, 1 if labels.dim() == 1 else labels.shape[1]).long()
