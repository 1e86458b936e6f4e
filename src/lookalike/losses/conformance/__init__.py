"""The conformance pack of losses: what anyone may rely on, checked on any loss by one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from lookalike.errors import ConfigError, suggest
from lookalike.losses.conformance.probe import DoesNotApply, Probe
from lookalike.losses.conformance.processes import check_processes
from lookalike.losses.conformance.properties import PROPERTIES


def check_loss(
    loss: nn.Module | Callable[[], nn.Module],
    *,
    num_classes: int | None = None,
    embedding_size: int | None = None,
    levels: int = 1,
    skip: Mapping[str, str] | None = None,
    processes: int = 2,
    device: str | torch.device = "cpu",
) -> dict[str, str]:
    """Check on any loss what training relies on; the first property that fails raises.

    ::

        scalar, dtype, autocast    a finite 0-d tensor; float64 stays, all else becomes float32,
                                   also under bfloat16 autocast; nothing handed in is changed
        gradient                   is that of finite differences, at embeddings and parameters
        permutation, labels        the order of a batch and the names of its classes do not matter
        columns                    labels (B, 1) are labels (B,)
        normalize                  embeddings three times as long give the same loss
        singletons, one_class, single, ties, no_positives
                                   degenerate batches give finite numbers
        reference                  the batch as its own reference is no reference; others may have
                                   any size and order
        nan                        is refused with a message that says so
        chunk                      chunk_size changes nothing
        state                      a saved and loaded loss is the same loss
        distributed                two processes with half a batch each are one with the whole

    Args:
        loss: a module of the call ``loss(embeddings, labels, indices_tuple=None, ref_emb=None,
            ref_labels=None)``, or of ``loss(student, teacher)``; or a function that makes one,
            which lets ``state`` find numbers that are not saved. A module is copied for every
            property and never changed.
        num_classes: classes its labels may name; None asks the loss, and else takes any labels.
        embedding_size: width it reads; None asks the loss, and else takes 8.
        levels: columns its labels need; more where its ``level`` says so.
        skip: properties it cannot have, each with the reason.
        processes: for ``distributed``; 0 leaves it out.
        device: where batches lie and losses run, ``distributed`` excepted.

    Returns:
        What became of each property: ``"holds"``, ``"skipped: …"`` or ``"does not apply: …"``.

    Raises:
        AssertionError: names the property and gives the two numbers that should agree.
        ConfigError: ``skip`` names a property that does not exist.

    >>> from lookalike.losses import SmoothAP
    >>> check_loss(SmoothAP(), processes=0)["permutation"]
    'holds'
    """
    skip = {} if skip is None else dict(skip)
    for name in skip:
        if name not in (*PROPERTIES, "distributed"):
            hint = suggest(name, [*PROPERTIES, "distributed"])
            raise ConfigError(f"check_loss: skip names no property {name!r}. {hint}")
    probe = Probe(loss, num_classes, embedding_size, levels, device)
    outcome = {}
    for name, holds in PROPERTIES.items():
        if name in skip:
            outcome[name] = f"skipped: {skip[name]}"
            continue
        try:
            holds(probe)
            outcome[name] = "holds"
        except DoesNotApply as reason:
            outcome[name] = f"does not apply: {reason}"
        except Exception as error:
            kind = type(probe.loss).__name__
            told = str(error) if isinstance(error, AssertionError) else repr(error)
            raise AssertionError(f"{kind} fails {name!r}: {told}") from error
    if "distributed" in skip:
        outcome["distributed"] = f"skipped: {skip['distributed']}"
    elif processes:
        here = Probe(loss, num_classes, embedding_size, levels)
        check_processes({type(here.loss).__name__: (here.make(), *here.batch())}, processes)
        outcome["distributed"] = "holds"
    return outcome


def check_distributed(losses: Mapping[str, nn.Module], *, processes: int = 2) -> None:
    """The distributed law for several losses in one start of the processes.

    Every process takes its share of a batch through a small linear model, gathers with
    :func:`lookalike.distributed.gather`, computes the whole loss, and averages the gradients of
    the parameters: model and proxies must get the gradient of one process with the whole batch.

    Raises:
        AssertionError: names the loss and gives the two numbers.
    """
    work = {}
    for name, loss in losses.items():
        probe = Probe(loss)
        work[name] = (probe.make(), *probe.batch())
    check_processes(work, processes)
