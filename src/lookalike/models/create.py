"""Embedders by a backbone's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from lookalike.calls import named_arguments
from lookalike.models.backbones import for_images_of
from lookalike.models.embedder import Embedder, Spec
from lookalike.models.preprocessing import SIZE, of_backbone


@named_arguments()
def create_model(
    backbone: str = "resnet18",
    *,
    pool: str = "auto",
    embedding_size: int | None = 128,
    head_norm: bool | str = False,
    head_bias: bool = True,
    dropout: float = 0.0,
    pretrained: bool | str | PathLike[str] = True,
    freeze_batch_norm: bool = False,
    options: Mapping[str, Any] | None = None,
    size: int | None = None,
    evaluation: Mapping[str, Any] | None = None,
    whitening: int | None = None,
    widths: Sequence[int] = (),
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Embedder:
    """Build an embedder from a backbone's name.

    Args:
        backbone: any timm name, one of `lookalike.models.backbones.OWN`, or the import path of a
            network of your own.
        pool: auto (class token where there is one, else avg), avg, max, avgmax, gem, gemmp, rmac,
            token.
        embedding_size: width of the linear head; None: the pooled features themselves.
        head_norm: what stands between pooling and head: True or ``"layer"``, a layer norm without
            parameters; ``"l2"``, unit length, as before RAML's whitening.
        head_bias: whether the linear head adds a bias.
        dropout: share of the pooled features that training drops, 0 to below 1.
        pretrained: start from published weights; or a file that holds the backbone's (safetensors
            or a checkpoint of tensors, with timm's, torchvision's or lookalike's keys; its head
            is left out), or a run or model folder.
        freeze_batch_norm: keep batch norm's running statistics.
        options: handed to the backbone's constructor.
        size: side of the images it will be given by :meth:`Embedder.encode`; None: that of the
            backbone's own training, 224 where it is not known. A network that takes one size alone,
            such as a ViT, is built for it.
        evaluation: options of the evaluation transform; None: as the backbone was evaluated where
            that is known, else ``{}``, the transform's defaults.
        whitening: width of one more linear map and norm behind the embedding, the identity at
            first; see `lookalike.models.whitening`.
        widths: prefixes of the embedding that are to work alone as well (Matryoshka).
        mean: of red, green and blue in 0 … 1 that pixels are normalised by; None: the backbone's.
        std: the same for the standard deviation.

    Raises:
        ConfigError: an unknown backbone or pooling, or a width that cannot be.
        ModelError: published weights that cannot be reached, or a file that does not fit; names
            the ways without a network.

    >>> import torch
    >>> model = create_model("conv4", pretrained=False, embedding_size=16, size=28)
    >>> model(torch.zeros(2, 3, 28, 28, dtype=torch.uint8)).shape
    torch.Size([2, 16])
    """
    start = pretrained if isinstance(pretrained, bool) else str(pretrained)
    if size is None or evaluation is None:
        own = of_backbone(backbone, start, options)
        if size is None:
            size = SIZE if own is None else own.size
        if evaluation is None:
            evaluation = {} if own is None else own.evaluation(size)
    spec = Spec(
        backbone=backbone,
        pool=pool,
        embedding_size=embedding_size,
        head_norm=head_norm,
        head_bias=head_bias,
        dropout=dropout,
        freeze_batch_norm=freeze_batch_norm,
        options=for_images_of(backbone, size, options or {}),
        size=size,
        evaluation=dict(evaluation),
        whitening=whitening,
        widths=list(widths),
        mean=None if mean is None else list(mean),
        std=None if std is None else list(std),
    )
    return Embedder(spec, pretrained=start)
