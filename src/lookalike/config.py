"""The typed schema of a run: the one home of run-level defaults.

Components (loss, dataset, sampler) are open: ``name`` says which, everything else goes to its
constructor, whose signature holds the defaults. All else is typed here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class ModelConfig:
    """Which network, and what comes after its feature map."""

    backbone: str = "resnet18"  # a timm name, or one of lookalike's own (conv4)
    pool: str = "avg"  # avg, max, gem, …; for transformers: token or avg
    embedding_size: int | None = 128  # null: the pooled features themselves
    head_norm: bool = False  # parameter-free layer norm before the linear head
    head_bias: bool = True
    pretrained: bool = True
    weights: str | None = None  # a safetensors file or a run folder to start from
    freeze_batch_norm: bool = False  # keep running statistics as they are; affine still trains
    # parts of the backbone that do not learn, as a shell names files: [patch_embed, "blocks.[0-9]"]
    freeze: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)  # handed to the backbone's constructor


@dataclass
class TransformConfig:
    """What happens to a picture before the model; normalisation lives in the model."""

    size: int = 224
    train: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)


@dataclass
class OptimizerConfig:
    """Optimiser, its parameter groups, warm-up and schedule."""

    name: str = "AdamW"  # a torch.optim class or a timm optimiser
    lr: float = 1e-4  # of the backbone
    head_lr: float | None = None  # of the head; null: lr
    loss_lr: float | None = None  # of a loss's proxies; null: lr
    weight_decay: float = 1e-4  # never on biases and norms
    schedule: str = "cosine"  # cosine, step, constant
    warmup_epochs: float = 0.0  # linear, counted in epochs, stepped every batch
    min_lr_ratio: float = 0.0  # cosine ends at this fraction of lr
    milestones: list[int] = field(default_factory=list)  # epochs, for schedule=step
    gamma: float = 0.3  # factor at each milestone
    clip_norm: float | None = None  # largest gradient norm; null: no clipping
    options: dict[str, Any] = field(default_factory=dict)  # handed to the optimiser


@dataclass
class EvaluationConfig:
    """What is measured, how often, and which number chooses the best checkpoint."""

    every: int = 1  # epochs; 0: only at the end
    # null: precision@1, recall@k, R-precision, MAP@R, mAP and MRR, and where there are several
    # levels H-AP, NDCG and ASI; [all]: everything `lookalike list metrics` names
    metrics: list[str] | None = None
    exclude: list[str] = field(default_factory=list)  # of those, leave out
    k: list[int] = field(default_factory=lambda: [1, 2, 4, 8])
    levels: list[int] | None = None  # null: all the table has
    average_splits: bool = True  # several test splits: also their mean
    monitor: str = "mean_average_precision_at_r"  # of level 0, the larger the better
    batch_size: int = 128
    baselines: bool = False  # also measure raw pixels and the untrained network


@dataclass
class Config:
    """One run."""

    run: str | None = None  # the run folder; null: runs/<dataset>-<loss>-<backbone>[-n]
    recipe: str | None = None
    data_root: str = "data"  # or $LOOKALIKE_DATA
    seed: int = 0
    device: str = "auto"  # auto, cpu, cuda, cuda:1
    precision: str = "auto"  # auto: bf16 on CUDA, fp32 on CPU; fp32, bf16
    epochs: int = 20
    batch_size: int = 64  # over all processes
    workers: int = 2  # data-loading processes of each training process
    broken: str = "refuse"  # a picture that cannot be read: refuse, or skip and count
    checkpoint_every: int = 1  # epochs between resumable checkpoints
    dataset: dict[str, Any] = field(default_factory=dict)
    transform: TransformConfig = field(default_factory=TransformConfig)
    sampler: dict[str, Any] = field(default_factory=dict)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: dict[str, Any] = field(default_factory=dict)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    # figures of papers, shown beside ours: a list of {source: …, figures: {metric: value}}
    published: list[dict[str, Any]] = field(default_factory=list)
