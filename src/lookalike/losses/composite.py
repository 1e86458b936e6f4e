"""Sums of losses: ROADMAP, HAPPIER, and any other with fixed or balanced weights."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lookalike.calls import NamedArguments
from lookalike.errors import ConfigError, LookalikeError, counted
from lookalike.losses.average_precision import SupAP
from lookalike.losses.calibration import Calibration
from lookalike.losses.calling import call, takes_pairs
from lookalike.losses.hierarchical_ap import SupHAP
from lookalike.losses.inputs import tensor
from lookalike.losses.softmax import NormSoftmax

Weights = Sequence[float] | Literal["balanced"]


class WeightedSum(NamedArguments, nn.Module):
    """A weighted sum of losses, ours, pytorch-metric-learning's or your own.

    ::

        L = sum over k of w_k · L_k
        balanced:  w_k = (mean over l of g_l) / g_k,   g_k = ‖dL_k / d embeddings‖

    Balanced weights (ROADMAP's adaptive ones, taken at the embeddings) are constants of a step:
    they make every part pull equally hard, and keep the sum of the norms. A part without gradient
    keeps weight 1 and takes no part in the mean; where nothing asks for a gradient all weights
    are 1.

    Args:
        losses: the parts, as a list (named by their classes) or as a mapping from name to loss.
        weights: one number a part, or ``"balanced"``. None is 1 for each.
        normalize: set on every part if given; None leaves the parts as they are.

    Attributes:
        losses: the parts by name, an ``nn.ModuleDict``.

    Raises:
        ConfigError: weights that do not fit the parts.

    Relations:
        :class:`ROADMAP` and :class:`HAPPIER` are sums of this kind. :meth:`parts` gives the
        single values, for logging.

    >>> from lookalike.losses import Calibration, MultiSimilarity
    >>> loss = WeightedSum([MultiSimilarity(), Calibration()], weights=[0.5, 0.5])
    >>> {n: round(float(v), 2) for n, v in loss.parts(torch.eye(2), torch.tensor([1, 1])).items()}
    {'MultiSimilarity': 0.66, 'Calibration': 0.9}
    """

    def __init__(
        self,
        losses: Sequence[nn.Module] | Mapping[str, nn.Module],
        weights: Weights | None = None,
        *,
        normalize: bool | None = None,
    ) -> None:
        super().__init__()
        self.losses = nn.ModuleDict(losses if isinstance(losses, Mapping) else _named(losses))
        if not self.losses:
            raise ConfigError("WeightedSum: losses is empty.")
        if weights is None:
            weights = (1.0,) * len(self.losses)
        self.weights = weights if isinstance(weights, str) else tuple(map(float, weights))
        self._check_weights()
        self.normalize = normalize
        if normalize is not None:
            self._hand_down(normalize)

    @property
    def takes_pairs(self) -> bool:
        """Whether any part reads mined pairs."""
        return any(takes_pairs(loss) for loss in self.losses.values())

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        indices_tuple: Any = None,
        ref_emb: Tensor | None = None,
        ref_labels: Tensor | None = None,
    ) -> Tensor:
        """The sum for ``(B, D)`` embeddings; mined pairs reach the parts that read them."""
        embeddings = tensor(type(self).__name__, embeddings, "embeddings")
        parts = self.parts(embeddings, labels, indices_tuple, ref_emb, ref_labels)
        if isinstance(self.weights, str):
            weights = balanced_weights(list(parts.values()), embeddings)
        else:
            weights = self.weights
        terms = zip(weights, parts.values(), strict=True)
        return torch.stack([weight * value for weight, value in terms]).sum()

    def parts(
        self,
        embeddings: Tensor,
        labels: Tensor,
        indices_tuple: Any = None,
        ref_emb: Tensor | None = None,
        ref_labels: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The value of each part before weighting, by name."""
        is_self = ref_emb is None or ref_emb is embeddings
        if indices_tuple is not None and is_self and not self.takes_pairs:
            raise LookalikeError(
                f"{type(self).__name__}: none of {', '.join(self.losses)} takes an indices_tuple "
                "(mined pairs). Drop the miner."
            )
        return {
            name: call(loss, embeddings, labels, indices_tuple, ref_emb, ref_labels)
            for name, loss in self.losses.items()
        }

    def _check_weights(self) -> None:
        name = type(self).__name__
        if isinstance(self.weights, str):
            if self.weights != "balanced":
                raise ConfigError(f"{name}: weights={self.weights!r}; give numbers, or 'balanced'.")
            return
        if len(self.weights) != len(self.losses):
            raise ConfigError(
                f"{name}: {counted(len(self.weights), 'weight')} for"
                f" {counted(len(self.losses), 'loss', 'losses')} "
                f"({', '.join(self.losses)})."
            )
        if not all(map(math.isfinite, self.weights)):
            raise ConfigError(f"{name}: weights must be finite, not {self.weights}.")

    def _hand_down(self, normalize: bool) -> None:
        for name, loss in self.losses.items():
            if isinstance(loss, WeightedSum):
                loss._hand_down(normalize)
            elif not hasattr(loss, "normalize"):
                raise ConfigError(
                    f"{type(self).__name__}: normalize={normalize}, but {name} has no such "
                    "setting. Leave normalize out here and set the parts' own."
                )
            loss.normalize = normalize  # pyright: ignore[reportArgumentType]

    def extra_repr(self) -> str:
        """The weights, for printing."""
        return f"weights={self.weights!r}"


class ROADMAP(WeightedSum):
    """SupAP and calibration: rank well, and by scores that mean the same for every query.

    ::

        L = w_1 · SupAP + w_2 · Calibration

    Ramzi et al., *Robust and decomposable average precision*, NeurIPS 2021
    (arXiv 2110.01445). SupRank weighs them 0.9 and 0.1.

    Args:
        sup_ap: the ranking part; None is ``SupAP()``. The published runs set
            ``SupAP(offset=1.44)``, on iNaturalist ``SupAP(offset=1.0, start=0.0)``.
        calibration: the other; None is ``Calibration()``.
        weights: two numbers, or ``"balanced"``.
        normalize: set on both parts if given.

    Relations:
        :class:`HAPPIER` for labels with a hierarchy.

    >>> loss = ROADMAP(weights=(0.9, 0.1))
    >>> loss(torch.eye(4)[[0, 0, 1, 1]], torch.tensor([5, 5, 9, 9]))
    tensor(0.)
    """

    def __init__(
        self,
        sup_ap: nn.Module | None = None,
        calibration: nn.Module | None = None,
        weights: Weights = (1.0, 1.0),
        *,
        normalize: bool | None = None,
    ) -> None:
        parts = {
            "sup_ap": SupAP() if sup_ap is None else sup_ap,
            "calibration": Calibration() if calibration is None else calibration,
        }
        super().__init__(parts, weights, normalize=normalize)

    @property
    def sup_ap(self) -> nn.Module:
        """The ranking part."""
        return self.losses["sup_ap"]

    @property
    def calibration(self) -> nn.Module:
        """The calibrating part."""
        return self.losses["calibration"]


class HAPPIER(WeightedSum):
    """Hierarchical average precision, and a softmax that keeps fine classes together.

    ::

        L = w_1 · SupHAP + w_2 · NormSoftmax (finest level)

    Ramzi et al., *Hierarchical average precision training for pertinent image retrieval*, ECCV
    2022 (arXiv 2207.04873).

    Args:
        num_classes: fine training classes.
        embedding_size: width D.
        weights: two numbers, or ``"balanced"``; the paper's HAPPIER_F has (0.5, 0.5).
        temperature: of the softmax.
        normalize: divide embeddings by their norm first, in both parts.
        tau, rho, delta, start: as in :class:`SupHAP`.
        offset: as in :class:`SupHAP`; the published runs set 1.44.
        relevance, alpha, beta, gamma, leak, level: as in :class:`SupHAP`.
        include_self, reduction, chunk_size: as in :class:`SupHAP`.

    Relations:
        :class:`CrossScale` judges proxies by the same hierarchy.

    >>> loss = HAPPIER(num_classes=4, embedding_size=8, alpha=0.5)
    >>> labels = torch.tensor([[0, 0], [0, 0], [3, 1], [3, 1]])
    >>> loss(torch.randn(4, 8), labels).shape
    torch.Size([])
    """

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        weights: Weights = (0.9, 0.1),
        temperature: float = 0.05,
        *,
        normalize: bool = True,
        **sup_hap: Any,
    ) -> None:
        parts = {
            "sup_hap": SupHAP(**sup_hap),
            "softmax": NormSoftmax(num_classes, embedding_size, temperature),
        }
        super().__init__(parts, weights, normalize=normalize)
        self.num_classes = num_classes
        self.embedding_size = embedding_size
        self.temperature = temperature


def _with_arguments_of(part: type[nn.Module], maker: Any) -> inspect.Signature:
    """A signature with those of a part in place of ``**keywords``, to check and to complete."""
    own = inspect.signature(maker)
    names = {p.name: p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD}
    for name, parameter in inspect.signature(part).parameters.items():
        names.setdefault(name, parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
    return own.replace(parameters=list(names.values()))


HAPPIER.__init__.__signature__ = _with_arguments_of(SupHAP, HAPPIER.__init__)


def balanced_weights(values: Sequence[Tensor], embeddings: Tensor) -> list[float]:
    """Weights that give every value a gradient of the same norm at the embeddings."""
    if not (embeddings.requires_grad and torch.is_grad_enabled()):
        return [1.0] * len(values)
    norms = []
    # A backward pass that runs under autocast would multiply in half precision.
    with torch.autocast(embeddings.device.type, enabled=False):
        for value in values:
            (slope,) = torch.autograd.grad(value, embeddings, retain_graph=True, allow_unused=True)
            norms.append(0.0 if slope is None else float(slope.norm()))
    pulling = [norm for norm in norms if norm > 0]
    mean = sum(pulling) / max(1, len(pulling))
    return [mean / norm if norm > 0 else 1.0 for norm in norms]


def _named(losses: Sequence[nn.Module]) -> dict[str, nn.Module]:
    """Names for a list of losses: their classes, numbered where one comes twice."""
    names: dict[str, nn.Module] = {}
    for loss in losses:
        kind = name = type(loss).__name__
        number = 1
        while name in names:
            number += 1
            name = f"{kind}_{number}"
        names[name] = loss
    return names
