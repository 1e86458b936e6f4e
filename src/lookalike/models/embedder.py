"""The embedder: images in, unit vectors out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookalike.calls import named_arguments
from lookalike.errors import ConfigError, counted
from lookalike.models.backbones import create_backbone, feature_map
from lookalike.models.pooling import GeM, create_pool, l2_normalize
from lookalike.models.precision import at_least_float32
from lookalike.models.scales import multi_scale

HEAD_NORMS = (False, True, "layer", "l2")


@dataclass(frozen=True)
class Spec:
    """Everything that rebuilds an embedder; stored as JSON beside its weights."""

    backbone: str
    pool: str = "auto"
    embedding_size: int | None = 128
    head_norm: bool | str = False  # True or "layer", "l2"
    head_bias: bool = True
    dropout: float = 0.0  # share of pooled features that training drops, before norm and head
    freeze_batch_norm: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    size: int = 224
    evaluation: dict[str, Any] = field(default_factory=dict)
    projection: int | None = None  # width of a teacher's embedding that a student's is mapped to
    whitening: int | None = None  # width of the linear map behind the norm, see models.whitening
    widths: Sequence[int] = ()  # prefixes of the embedding that it was trained to work at as well
    mean: Sequence[float] | None = None  # of RGB in 0 … 1; None: the backbone's own
    std: Sequence[float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


class Centred(nn.Module):
    """``weight (x - mean)``: a linear map that takes the mean away first.

    The same as a bias, but where vectors differ little from their mean it keeps the digits in
    which they differ.

    Args:
        width: of the vectors.
        size: of the result.
    """

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(width))
        self.weight = nn.Parameter(torch.eye(size, width))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, width)`` → ``(B, size)``."""
        return F.linear(x - self.mean, self.weight)


class Embedder(nn.Module):
    """Backbone, pooling, optional norm without parameters, linear head, L2 norm.

    Args:
        spec: what to build, and how images are prepared for it.
        pretrained: start from the backbone's published weights, or from those of a file.

    Attributes:
        spec: as given.
        pretrained: whether its backbone, or all of it, began with trained weights.
        weights_file: the file that the backbone's first weights came from, or None.
        width: numbers of an embedding.
        teacher: SHA-256 of the weights of the model whose space it was trained into, or None; an
            index that this teacher built accepts its queries.

    Raises:
        ConfigError: an unknown backbone or pooling.
        ModelError: published weights that cannot be reached.
    """

    mean: Tensor
    std: Tensor
    teacher: str | None = None
    still: bool = False  # the backbone stays as evaluation has it, also in training

    def __init__(self, spec: Spec, *, pretrained: bool | str = False) -> None:
        super().__init__()
        _check(spec)
        self.spec = spec
        self.pretrained = pretrained is not False or spec.backbone == "vectors"
        if "pretrained" in spec.options:
            raise ConfigError("model.options.pretrained: set model.pretrained instead.")
        built = create_backbone(spec.backbone, pretrained=pretrained, **spec.options)
        self._about = built
        self.weights_file = built.weights
        # Convolutions on a CPU, and on tensor cores, are up to twice as fast with channels last.
        self.backbone = built.network.to(memory_format=torch.channels_last)
        tokens = built.layout == "NLC"
        pool = ("token" if built.prefix_tokens else "avg") if spec.pool == "auto" else spec.pool
        if pool == "token" and not (tokens and built.prefix_tokens):
            raise ConfigError(
                f"model.pool=token: {spec.backbone} has no class token. Use avg or gem."
            )
        self.pool = create_pool(pool, built.channels)
        self._keep_tokens = pool == "token"
        self.head: nn.Module = (
            nn.Identity()
            if spec.embedding_size is None
            else nn.Linear(built.channels, spec.embedding_size, bias=spec.head_bias)
        )
        self.width = spec.embedding_size or built.channels
        self.projection: nn.Linear | None = None
        if spec.projection is not None:
            self.projection = nn.Linear(self.width, spec.projection)
            self.width = spec.projection
        self.whitening = None
        if spec.whitening is not None:
            self.whitening = Centred(self.width, spec.whitening)
            self.width = spec.whitening
        mean, std = self._of_pixels(torch.float32)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)
        if any(not 0 < width < self.width for width in spec.widths):
            raise ConfigError(
                f"model.widths={[*spec.widths]}: each must be below the embedding's {self.width}."
            )
        if spec.freeze_batch_norm:
            self.train(self.training)

    @property
    def ends(self) -> nn.Module:
        """What stands behind the pooling and learns: the head, and a projection behind it."""
        if self.projection is None:
            return self.head
        return nn.ModuleList([self.head, self.projection])

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.mean.device

    def project(self, width: int) -> None:
        """Put one more linear map and norm behind the embedding, into a space of another width.

        Raises:
            ConfigError: there is a whitening, or a projection, behind it already.
        """
        if self.whitening is not None or self.projection is not None:
            raise ConfigError(
                f"The model's embedding of {counted(self.width, 'number')} has a linear map behind"
                " it already "
                f"and cannot be projected to {width}. Drop model.whitening."
            )
        self.projection = nn.Linear(self.width, width)
        nn.init.orthogonal_(self.projection.weight)  # lengths and angles stay as they can
        nn.init.zeros_(self.projection.bias)
        self.spec = replace(self.spec, projection=width)
        self.width = width

    def double(self) -> Embedder:
        """As in torch: float64 throughout, with the pixels' mean and deviation not rounded before.

        >>> Embedder(Spec("conv4")).double().mean.flatten()[0] == 0.485 * 255
        tensor(True)
        """
        super().double()
        mean, std = self._of_pixels(torch.float64)
        self.mean.copy_(mean)
        self.std.copy_(std)
        return self

    def _of_pixels(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of a pixel, 0 … 255, as ``(1, 3, 1, 1)``."""
        pair = self.spec.mean or self._about.mean, self.spec.std or self._about.std
        mean, std = (torch.tensor(list(x), dtype=dtype).view(1, 3, 1, 1) for x in pair)
        return mean * 255, std * 255

    def train(self, mode: bool = True) -> Embedder:
        """As in torch; frozen batch norms keep their running statistics, their affine trains on."""
        super().train(mode)
        if self.still:
            self.backbone.eval()
        elif mode and self.spec.freeze_batch_norm:
            for module in self.backbone.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def features(self, pictures: Tensor) -> Tensor:
        """Pooled features ``(B, C)`` before norm and head, thinned by dropout in training."""
        return self.pooled(self.feature_map(pictures))

    def feature_map(self, pictures: Tensor) -> Tensor:
        """What the pooling sees: ``(B, C, H, W)``, or tokens ``(B, N, C)``."""
        if pictures.dim() == 2:  # vectors in place of images
            vectors = self.backbone(pictures.to(self.mean.dtype))
            return feature_map(self._about, vectors, keep_tokens=self._keep_tokens)
        x = normalised(pictures, self.mean, self.std)
        try:
            found = self.backbone(x)
        except AssertionError as error:  # how networks of timm refuse a size
            raise ConfigError(
                f"model={self.spec.backbone}: images of {x.shape[-2]} × {x.shape[-1]} pixels do"
                f" not fit this network ({error}). Give another transform.size."
            ) from error
        return feature_map(self._about, found, keep_tokens=self._keep_tokens)

    def pooled(self, maps: Tensor) -> Tensor:
        """The features of maps that :meth:`feature_map` gave: ``(B, C)``."""
        return self.thinned(self.pool(maps))

    def thinned(self, features: Tensor) -> Tensor:
        """Pooled features after the dropout of training."""
        return F.dropout(features, self.spec.dropout, self.training)

    def forward(self, pictures: Tensor, scales: Sequence[float] = (1.0,)) -> Tensor:
        """Embed a batch.

        Args:
            pictures: ``(B, 3, H, W)`` with values 0 … 255, uint8 or floating point.
            scales: sizes of the images whose vectors are averaged, see
                `lookalike.models.scales.multi_scale`; its exponent is GeM's where the pooled
                features are the embedding, else 1.

        Returns:
            ``(B, width)`` unit vectors in float32, or in float64 where the weights are.
        """
        if list(scales) == [1.0]:
            vectors = self._describe(pictures)
        else:
            vectors = multi_scale(self._describe, pictures, scales, self._scale_power)
        return self._whitened(vectors)

    def from_pooled(self, features: Tensor) -> Tensor:
        """Unit vectors ``(B, width)`` of pooled features ``(B, C)``."""
        return self._whitened(self._behind(features))

    def before_head(self, features: Tensor) -> Tensor:
        """Pooled features as the linear head is given them: normed, where there is a norm."""
        if self.spec.head_norm == "l2":
            return l2_normalize(features)
        if self.spec.head_norm:
            return F.layer_norm(at_least_float32(features), features.shape[1:])
        return features

    def _whitened(self, vectors: Tensor) -> Tensor:
        if self.whitening is None:
            return vectors
        with torch.autocast(vectors.device.type, enabled=False):
            return l2_normalize(self.whitening(vectors))

    def _describe(self, pictures: Tensor) -> Tensor:
        return self._behind(self.features(pictures))

    def _behind(self, x: Tensor) -> Tensor:
        x = l2_normalize(self.head(self.before_head(x)))
        return x if self.projection is None else l2_normalize(self.projection(x))

    @property
    def _scale_power(self) -> float:
        bare = self.spec.embedding_size is None and not self.spec.head_norm
        bare = bare and self.projection is None
        if bare and isinstance(self.pool, GeM) and self.pool.channels is None:
            return float(self.pool.p)
        return 1.0

    def transform(self) -> Any:
        """The transform that prepares an image for evaluation: ``uint8 (3, H, W)`` in and out."""
        from lookalike.data import transforms

        return transforms.evaluation(self.spec.size, **self.spec.evaluation)

    @named_arguments()
    def encode(
        self,
        pictures: Any,
        batch_size: int = 64,
        device: str | torch.device | None = None,
        show_progress: bool = False,
        workers: int = 0,
        scales: Sequence[float] = (1.0,),
    ) -> np.ndarray:
        """Embed images of any kind.

        Args:
            pictures: a path, an array ``(H, W)`` or ``(H, W, C)``, a PIL image, any collection
                of these, or a :class:`~lookalike.data.table.Table`. File, PIL image and array
                give one vector (:func:`lookalike.data.decode.as_pixels`).
            batch_size: how many at a time.
            device: where to compute; None: where the model is.
            show_progress: draw a progress bar.
            workers: processes that read images; 0: this one.
            scales: average the vectors of an image at several sizes, such as
                ``[1, 2**-0.5, 0.5]``.

        Returns:
            float32 ``(N, width)``, one unit row an image, in order.

        Raises:
            DataError: an image that cannot be read; the message names it.
        """
        from lookalike.models.encode import encode

        return encode(
            self,
            pictures,
            batch_size=batch_size,
            device=device,
            show_progress=show_progress,
            workers=workers,
            scales=scales,
        )


def _check(spec: Spec) -> None:
    """Refuse values that no embedder can have; names the option."""
    if spec.head_norm not in HEAD_NORMS:
        raise ConfigError(
            f"model.head_norm={spec.head_norm}: write true (the same as layer), l2 or false."
        )
    if not 0 <= spec.dropout < 1:
        raise ConfigError(f"model.dropout={spec.dropout}: a share, at least 0 and below 1.")
    if spec.embedding_size is not None and spec.embedding_size < 1:
        raise ConfigError(
            f"model.embedding_size={spec.embedding_size}: a width of at least 1; write null "
            "for the pooled features themselves."
        )
    for name in ("mean", "std"):
        value = getattr(spec, name)
        if value is not None and (len(value) != 3 or (name == "std" and min(value) <= 0)):
            raise ConfigError(
                f"model.{name}={[*value]}: three numbers, of red, green and blue in 0 … 1"
                f"{', each above 0' if name == 'std' else ''}."
            )


def normalised(pictures: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """``(pictures − mean) / std`` in mean's type and with channels last; one large tensor is made.

    Args:
        pictures: ``(B, 3, H, W)``, 0 … 255.
        mean: a number a channel.
        std: the same.

    >>> one = torch.full((1, 3, 1, 1), 6, dtype=torch.uint8)
    >>> normalised(one, torch.tensor([2.0, 4.0, 6.0]), torch.full((3,), 4.0)).flatten()
    tensor([1.0000, 0.5000, 0.0000])
    """
    # On a processor, a second tensor of this size costs as much as decoding a small JPEG; and a
    # mean repeated along the row takes half the time of three numbers spread over its pixels.
    rows = pictures.permute(0, 2, 3, 1).flatten(2).to(mean.dtype, copy=True)
    width = pictures.shape[3]
    rows.sub_(mean.flatten().repeat(width)).div_(std.flatten().repeat(width))
    return rows.unflatten(2, (width, 3)).permute(0, 3, 1, 2)
