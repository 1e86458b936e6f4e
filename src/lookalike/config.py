"""The typed schema of a run: the one home of run-level defaults.

Components (loss, dataset, sampler) are open: ``name`` says which, everything else goes to its
constructor, whose signature holds the defaults. All else is typed here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

BATCH_SIZE = 64  # where none is said, and the sampler can fill so many


@dataclass
class ModelConfig:
    """Which network, and what comes after its feature map."""

    # a timm name; conv4, googlenet, bn_inception, deit_small_distilled; your own by import path
    backbone: str = "resnet18"
    # auto: the class token where there is one, else avg; max, avgmax, gem, gemmp, rmac, token
    pool: str = "auto"
    embedding_size: int | None = 128  # null: the pooled features themselves
    head_norm: bool | str = False  # before the linear head: true (or layer), l2: unit length
    head_bias: bool = True  # of the linear head
    # how the head begins: random; identity; pca, which keeps the features' dot products as well as
    # its width allows. null: pca on a pretrained backbone outside recipes, else random
    head_init: str | None = None
    dropout: float = 0.0  # share of the pooled features that training drops, before norm and head
    # true: the weights that its authors published; false: none; or a file that holds the backbone's
    # (timm's, torchvision's or lookalike's keys; a classifier is left out), a run, hf://OWNER/NAME
    pretrained: bool | str = True
    # to start from: a safetensors file, a run folder, a checkpoint of the published systems (.pth)
    weights: str | None = None
    whitening: int | None = None  # width of one more linear map and norm behind the embedding
    # prefixes of the embedding that are trained and measured as well (Matryoshka): [64,128]
    widths: list[int] = field(default_factory=list)
    freeze_batch_norm: bool = False  # keep running statistics as they are; affine still trains
    # parts of the backbone that do not learn, as a shell names files: [patch_embed, "blocks.[0-9]"]
    freeze: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)  # handed to the backbone's constructor
    # of red, green and blue in 0 … 1, by which pixels are normalised; null: the backbone's own
    mean: list[float] | None = None
    std: list[float] | None = None  # beside model.mean


@dataclass
class TransformConfig:
    """What happens to an image before the model; normalisation lives in the model."""

    # what is not said here is as the pretrained backbone was trained and evaluated
    as_backbone: bool = False
    size: int | None = None  # null: the backbone's own with as_backbone, else 224
    train: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)


@dataclass
class GroupConfig:
    """What one group of parameters has of its own; null: as the optimizer says."""

    lr: float | None = None  # null: optimizer.lr
    lr_factor: float | None = None  # or a multiple of optimizer.lr
    weight_decay: float | None = None  # null for a loss: 0
    name: str | None = None  # an optimiser of its own
    options: dict[str, Any] = field(default_factory=dict)  # of that optimiser
    schedule: str | None = None  # null: optimizer.schedule
    min_lr_ratio: float | None = None  # null: optimizer.min_lr_ratio


@dataclass
class OptimizerConfig:
    """Optimiser, its parameter groups, warm-up and schedule."""

    name: str = "AdamW"  # a torch.optim class or a timm optimiser
    lr: float = 1e-4  # of the backbone, and of the groups that have none of their own
    weight_decay: float = 1e-4  # never on biases and norms, unless decay_all
    decay_all: bool = False  # biases and norms decay too, as most published code has it
    options: dict[str, Any] = field(default_factory=dict)  # handed to the optimiser
    pool: GroupConfig = field(default_factory=GroupConfig)  # the pool's exponents
    head: GroupConfig = field(default_factory=GroupConfig)  # all behind the pool
    loss: GroupConfig = field(default_factory=GroupConfig)  # a loss's proxies
    # cosine, multistep, step, exponential, one_cycle, cyclic, constant
    schedule: str = "cosine"
    schedule_every: str = "step"  # the rate moves every step, or every epoch
    schedule_options: dict[str, Any] = field(default_factory=dict)  # of one_cycle and cyclic
    warmup_epochs: float = 0.0  # linear, counted in epochs, moved every step
    min_lr_ratio: float = 0.0  # cosine ends at this fraction of lr
    milestones: list[int] = field(default_factory=list)  # epochs, for multistep
    step_epochs: int = 1  # epochs between two drops, for step
    gamma: float = 0.3  # factor of a drop (multistep, step), of an epoch (exponential)
    freeze: list[str] = field(default_factory=list)  # groups that stand still
    freeze_epochs: int = 0  # for so many epochs at first; 0: for the whole run
    freeze_schedule: bool = False  # all schedules wait meanwhile, and end that much short
    clip_norm: float | None = None  # largest gradient norm of the network; null: no clipping


@dataclass
class AverageConfig:
    """Averaged weights, which are then the ones evaluated and kept."""

    name: str | None = None  # null: none; ema: exponential; swa: the plain mean
    decay: float = 0.999  # of ema, a step
    start_epoch: int = 0  # epochs done before the first
    every: int = 1  # steps between two; swa: epochs


@dataclass
class EarlyStopConfig:
    """When to stop before the last epoch."""

    patience: int | None = None  # evaluations without a better value; null: never
    min_delta: float = 0.0  # what counts as better


@dataclass
class CheckpointConfig:
    """When the state of a run is saved, beside at its end and when it is asked to stop."""

    every: int = 1  # epochs between resumable checkpoints
    steps: int | None = None  # also every so many steps, for long epochs
    keep_every: int | None = None  # epochs between checkpoints that are kept for good
    best: bool = False  # keep the whole state of the best epoch too, not its model alone


@dataclass
class WatchConfig:
    """How often the health of a training is looked at."""

    every: int = 50  # steps; 0: never


@dataclass
class DistillationConfig:
    """How a run asks its teacher; of effect with ``teacher=``."""

    # ts_aug: the teacher sees the student's random views, larger; ts_reg: the student learns the
    # teacher's stored embeddings of whole images (RAML's words); compatible: a model of its own
    # by labels, whose queries also find their class in the teacher's stored gallery
    mode: str = "ts_aug"
    teacher_size: int | None = None  # side of the teacher's images; null: as it was trained
    # what a timm name or a published checkpoint does not say: {pool: avg, embedding_size: 512}
    teacher_model: dict[str, Any] = field(default_factory=dict)
    # beside the loss, a loss of labels by which the student ranks the teacher's gallery:
    # {name: smooth_ap}; {}: none (compatible: smooth_ap)
    rank: dict[str, Any] = field(default_factory=dict)
    rank_weight: float = 1.0  # of that loss, for each image
    cache: str | None = None  # folder that keeps the teacher's stored embeddings for other runs
    views: int = 8  # of each image, for ts_aug
    mixup: float = 0.2  # α of the Beta that mixes views of two images; 0: no mix-up
    group: int = 8  # consecutive images of a batch that are each other's partners in mix-up
    precision: str = "auto"  # of the teacher: auto, fp32, bf16, fp16, fp64


@dataclass
class EvaluationConfig:
    """What is measured, how often, and which number chooses the best checkpoint."""

    every: int = 1  # epochs; 0: only at the end
    # null: precision@1, recall@k, R-precision, MAP@R, mAP and MRR, and where there are several
    # levels H-AP, NDCG and ASI; [all]: everything `lookalike list metrics` names
    metrics: list[str] | None = None
    exclude: list[str] = field(default_factory=list)  # of those, leave out
    k: list[int] = field(default_factory=lambda: [1, 2, 4, 8])  # cut-offs of recall@k and its like
    levels: list[int] | None = None  # null: all the table has
    average_splits: bool = True  # several test splits: also their mean
    average_levels: bool = False  # also the mean over test splits and levels, as for DyML
    ties: str = "stable"  # equal scores: by gallery row, or optimistic, pessimistic, mean
    empty: str = "skip"  # queries without a positive: skip (and count), or zero
    relevance: str = "pop"  # what H-AP gives each level: pop or map
    alpha: Any = 1.0  # the exponent of pop; for map a weight a level, coarsest first
    # sizes of an image whose vectors are averaged: [1,0.7071,0.5] as landmark papers do
    scales: list[float] = field(default_factory=lambda: [1.0])
    monitor: str = "mean_average_precision_at_r"  # of level 0, the larger the better
    # whose monitor chooses the model kept: null: the validation splits (val…), or without one none:
    # the last epoch is kept (dataset.hold_out=0.1 makes one of training classes); test: the test
    # splits, as many papers chose; a split's name; last
    select: str | None = None
    batch_size: int = 128  # images embedded at a time
    # also measure raw pixels, colours, the untrained network and a pretrained backbone as it began,
    # and say whether training beat them; null: where dataset= is a path
    baselines: bool | None = None


@dataclass
class DiscoverConfig:
    """The open-world loop; of effect with ``lookalike discover``."""

    rounds: int = 4  # after round 0, which trains on the labelled images alone
    # where the data set has no splits u_in, u_out or unlabelled: the share of each training class,
    # plus one image, that is labelled; the test splits are the classes nobody labelled
    labelled: float = 0.6
    method: str = "hilander"  # or hdbscan, agglomerative, kmeans, components
    method_options: dict[str, Any] = field(default_factory=dict)  # of it: {k: 10, tau: 0.7}
    lander: dict[str, Any] = field(default_factory=dict)  # of Hi-LANDER's training: {epochs: 100}
    density: float = 0.5  # clustered images of more are trained on
    far: float | None = None  # of these, only what lies so far from every known class
    gate: bool = False  # images that look like a known class are given it
    # what is selected stays so; false: every round clusters all unlabeled images anew
    keep: bool = True
    restart: bool = True  # every round trains from the first weights; false: from the last round's
    relearn: bool = True  # every round trains its graph network; false: round 0's serves them all
    finetune: list[str] = field(default_factory=list)  # options of rounds after 0: ["epochs=10"]


@dataclass
class Config:
    """One run."""

    run: str | None = None  # the run folder; null: runs/<dataset>-<loss>-<backbone>[-n]
    recipe: str | None = None  # a published training, whose options hold where none are given
    data_root: str = "data"  # where data sets are looked for; or $LOOKALIKE_DATA
    seed: int = 0  # of first weights, batches and views; [0,1,2] trains once a seed
    device: str = "auto"  # auto, cpu, cuda, cuda:1
    # auto: bf16 on CUDA, fp32 on CPU; fp32, bf16, fp16 (scaled losses); fp64: weights, losses and
    # gradients in double precision, to compare two trainings digit for digit
    precision: str = "auto"
    epochs: int = 20  # passes; how long one is, the sampler says
    # over all processes; null: 64, or as many as the sampler can fill from the training classes
    batch_size: int | None = None
    # images that pass the network at a time on one process, the loss still seeing the whole
    # batch; null: all; auto: as many as free memory holds
    micro_batch: int | str | None = None
    update_every: int = 1  # batches to one step
    accumulate: str = "mean"  # of the gradients of those batches: mean, or sum
    drop_partial_update: bool = False  # an epoch's last few batches short of a step go unused
    sync_batch_norm: bool = False  # statistics over all processes
    fsdp: bool = False  # shard weights, gradients and optimiser state over the processes
    compile: bool = False  # the backbone by torch.compile
    gradient_checkpointing: bool = False  # compute activations twice instead of keeping them
    # with optimizer.freeze=[backbone] for the whole run: views of each training image that pass it,
    # once; the first as evaluation sees it, the others by transform.train. 0: all images pass it
    # anew in every step; null: 1
    views: int | None = None
    feature_cache: str | None = None  # folder that keeps those features for other runs
    workers: int = 2  # data-loading processes of each training process
    broken: str = "refuse"  # an image that cannot be read: refuse, or skip and count
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    # keep the weights that serve held-out classes best, on the way from the first to the trained
    # ones (0, a quarter, …, all of it). null: where the network began with trained weights, outside
    # recipes; without a validation split a tenth of the training classes is held out for it
    interpolate: bool | None = None
    average: AverageConfig = field(default_factory=AverageConfig)
    early_stop: EarlyStopConfig = field(default_factory=EarlyStopConfig)
    watch: WatchConfig = field(default_factory=WatchConfig)
    tracker: str | None = None  # curves also to wandb; TensorBoard's are always written
    tracker_options: dict[str, Any] = field(default_factory=dict)  # project, mode, tags, …
    dataset: dict[str, Any] = field(default_factory=dict)
    transform: TransformConfig = field(default_factory=TransformConfig)
    sampler: dict[str, Any] = field(default_factory=dict)
    # which pairs of a batch a pair loss looks at; {}: all, or those of its own mining
    miner: dict[str, Any] = field(default_factory=dict)
    model: ModelConfig = field(default_factory=ModelConfig)
    teacher: str | None = None  # a run or model folder, or a timm name, that the model learns from
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    loss: dict[str, Any] = field(default_factory=dict)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    discover: DiscoverConfig = field(default_factory=DiscoverConfig)
    # figures of papers, shown beside ours: a list of {source: …, figures: {metric: value}}
    published: list[dict[str, Any]] = field(default_factory=list)
