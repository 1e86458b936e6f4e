"""Looks at a training every few steps, and at the batch that broke it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookalike import distributed
from lookalike.errors import NumericsError, counted
from lookalike.files import write_text, write_with
from lookalike.training import health
from lookalike.training.step import SupervisedStep

# Enough to tell health from illness; the cost does not grow with the batch.
ROWS = 512
BROKEN = "broken_batch"


class Watch:
    """A step that is looked at: the same step to the loop, and a row of figures every few steps.

    The figures are those of :mod:`lookalike.training.health`, on the embeddings and labels that the
    loss was given and on the gradient it sent back. Looking changes no number of the training.

    Args:
        step: the step to look at.
        every: steps between two rows; 0: none.
        folder: where the batch is kept whose loss is not a number.
        path_of: row of the training table → its file.
    """

    def __init__(
        self, step: SupervisedStep, *, every: int, folder: Path, path_of: Callable[[int], str]
    ) -> None:
        self.step, self.every, self.folder, self.path_of = step, every, folder, path_of
        self.row: dict[str, Any] | None = None  # of the latest step, where one was due
        self._embeddings: Tensor | None = None
        self._labels: Tensor | None = None
        self._gradient: Tensor | None = None
        self._loss = math.nan
        self._steps = 0
        self._clock = _Clock(step.device)
        self._margin = margin_of(step.loss)
        self._proxies = Proxies.of(step.loss)
        step.loss.register_forward_pre_hook(self._see)

    # ── what the loop asks of a step ───────────────────────────────────────────────────────────

    def backward(self, batch: dict[str, Any]) -> float:
        """As the step's; a loss that is not a number keeps the batch and says where it broke.

        Raises:
            NumericsError: names the folder of the batch.
        """
        try:
            self._loss = self.step.backward(batch)
        except NumericsError as error:
            raise NumericsError(f"{error} {self._keep(batch)}") from error
        if self._proxies is not None and self._labels is not None:
            self._proxies.count(self._labels)
        self._clock.pictures += len(batch["pictures"]) * distributed.world_size()
        return self._loss

    def update(self, done: int, epoch: int, batches: int = 1) -> None:
        """As the step's; where a row is due, measured just before."""
        due = self.every > 0 and (done + 1) % self.every == 0 and distributed.is_main()
        values = self._measure(batches) if due else {}
        self.step.update(done, epoch, batches)
        self._steps = done + 1
        self._clock.steps += 1
        self.row = None
        if due:
            place = {"kind": "watch", "epoch": epoch + 1, "step": done + 1}
            self.row = place | {"values": values, "clock": self._clock.read()}

    def forget(self) -> None:
        """As the step's."""
        self.step.forget()

    def timed(self, batches: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The batches, with an eye on how long each was waited for."""
        iterator = iter(batches)
        while True:
            with self._clock.waiting():
                batch = next(iterator, None)
            if batch is None:
                return
            with self._clock.working():
                yield batch

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know: how far it is, and which classes came up."""
        proxies = {} if self._proxies is None else self._proxies.state_dict()
        return {"steps": self._steps, "proxies": proxies}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what :meth:`state_dict` gave."""
        self._steps = int(state["steps"])
        if self._proxies is not None:
            self._proxies.load_state_dict(state["proxies"])

    # ── a row ──────────────────────────────────────────────────────────────────────────────────

    def _see(self, loss: nn.Module, given: tuple[Any, ...]) -> None:
        """Before every call of the loss: what it is given, and what it will send back."""
        embeddings, labels = given[0], given[1]
        self._embeddings, self._gradient = embeddings.detach(), None
        # A teacher's embeddings, in distillation, are no labels.
        self._labels = None if labels.is_floating_point() else labels.detach()
        if embeddings.requires_grad:
            embeddings.register_hook(self._sent_back)

    def _sent_back(self, gradient: Tensor) -> None:
        self._gradient = gradient.detach()

    def _measure(self, batches: int) -> dict[str, float]:
        values = {"loss": self._loss}
        if self._embeddings is not None:
            values |= self._embedded(self._embeddings[:ROWS])
        if self._gradient is not None:
            values["active_share"] = health.active_share(self._gradient.flatten(1))
        # The gradients of several batches are still a sum, and scaled ones still scaled.
        scale = 1.0 if self.step.scaler is None else self.step.scaler.get_scale()
        norms = health.gradient_norms(self.step.optimizers.param_groups)
        values |= {f"gradient_norm_{g}": norm / scale / batches for g, norm in norms.items()}
        if self.step.scaler is not None:
            values["loss_scale"] = scale
        if self._margin is not None:
            values["margin"] = self._margin
        if self._proxies is not None and (starved := self._proxies.starved()) is not None:
            values["starved_proxies"] = starved
        return {name: value for name, value in values.items() if math.isfinite(value)}

    def _embedded(self, found: Tensor) -> dict[str, float]:
        # A few hundred rows: a GPU's solvers take half a second to start, and longer than the host.
        found = found.reshape(len(found), -1, found.shape[-1])[:, 0].cpu()
        x = F.normalize(found.double(), dim=1)
        values = {
            "effective_rank": health.effective_rank(x),
            "uniformity": health.uniformity(x),
            "hubness": health.hubness(x),
        }
        if self._labels is not None:
            labels = self._labels[:ROWS].cpu()
            finest = labels if labels.dim() == 1 else labels[:, 0]
            values["alignment"] = health.alignment(x, finest)
        return values

    # ── a loss that is not a number ───────────────────────────────────────────────────────────────

    def _keep(self, batch: dict[str, Any]) -> str:
        """Save the batch for inspection; a sentence that says where it is and what broke."""
        from safetensors.torch import save_file

        own = f"_{distributed.rank()}" if distributed.is_active() else ""
        folder = self.folder / f"{BROKEN}{own}"
        tensors = {name: batch[name] for name in ("pictures", "labels", "index")}
        if self._embeddings is not None:
            tensors["embeddings"] = self._embeddings
        tensors = {name: tensor.contiguous().cpu() for name, tensor in tensors.items()}
        where = f"It happened in step {self._steps + 1}. {self._where()}"
        rows = [{"row": row, "path": self.path_of(row)} for row in tensors["index"].tolist()]
        write_with(folder / "batch.safetensors", lambda path: save_file(tensors, path))
        write_text(folder / "rows.json", json.dumps({"where": where, "rows": rows}, indent=2))
        return f"{where} The batch is kept in {folder}: images, labels, embeddings and paths."

    def _where(self) -> str:
        """The first place, from the weights to the loss, that holds no number."""
        for owner, module in (("model", self.step.model), ("loss", self.step.loss)):
            for name, parameter in module.named_parameters():
                if not bool(parameter.isfinite().all()):
                    return f"The {owner}'s {name} is not finite any more."
        if self._embeddings is None or bool(self._embeddings.isfinite().all()):
            return "Weights and embeddings are finite: the loss itself made it."
        broken = (~self._embeddings.isfinite().flatten(1).all(dim=1)).sum()
        return (
            f"The weights are finite, {int(broken)} of"
            f" {counted(len(self._embeddings), 'embedding')} {'is' if broken == 1 else 'are'} not."
        )


def margin_of(loss: nn.Module) -> float | None:
    """The margin of a loss of pairs or triplets, also inside a memory; None: it has none.

    Losses with proxies have margins of another kind: angles, not distances.
    """
    inner = getattr(loss, "loss", loss)
    margin = getattr(inner, "margin", None)
    if not isinstance(margin, int | float) or any(True for _ in loss.parameters()):
        return None
    return float(margin)


class Proxies:
    """How often the class of each proxy came up.

    Args:
        classes: how many there are.
        level: the label column they are classes of.
    """

    # With 50 images a class on the average, one that is drawn fairly has come up.
    ENOUGH = 50

    def __init__(self, classes: int, level: int) -> None:
        self.classes, self.level = classes, level
        self.seen = torch.zeros(classes, dtype=torch.int64)
        self.pictures = 0

    @classmethod
    def of(cls, loss: nn.Module) -> Proxies | None:
        """Those of a loss, of ours or of pytorch-metric-learning; None: it has none."""
        for module in loss.modules():
            classes = getattr(module, "num_classes", None)
            if isinstance(classes, int) and any(True for _ in module.parameters()):
                return cls(classes, getattr(module, "level", 0) or 0)
        return None

    def count(self, labels: Tensor) -> None:
        """Note the classes of a batch."""
        column = labels if labels.dim() == 1 else labels[:, self.level]
        if self.seen.device != column.device:
            self.seen = self.seen.to(column.device)
        known = (column >= 0) & (column < self.classes)  # to pick them out would wait for a GPU
        self.seen.index_add_(0, column.clamp(0, self.classes - 1), known.long())
        self.pictures += len(column)

    def starved(self) -> float | None:
        """Share of proxies that no image has pulled; None while it is too early to say."""
        if self.pictures < self.ENOUGH * self.classes:
            return None
        return float((self.seen == 0).double().mean())

    def state_dict(self) -> dict[str, Any]:
        """The counts."""
        return {"seen": self.seen.cpu(), "pictures": self.pictures}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put counts back."""
        self.seen, self.pictures = state["seen"], int(state["pictures"])


class _Clock:
    """Seconds between two rows: waited for images, and worked with them."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.pictures = self.steps = 0
        self.waited = self.worked = 0.0
        self._since = time.perf_counter()

    def waiting(self) -> _Span:
        return _Span(self, "waited")

    def working(self) -> _Span:
        return _Span(self, "worked")

    def read(self) -> dict[str, float]:
        """The figures since the last reading."""
        worked = self.worked + time.perf_counter() - self._since  # the span under way
        total = self.waited + worked
        found = {
            "pictures_per_second": round(self.pictures / total, 1),
            "seconds_per_step": round(total / self.steps, 4),
            "waiting_share": round(self.waited / total, 3),
        }
        if self.device.type == "cuda":
            gib = torch.cuda.max_memory_allocated(self.device) / 2**30
            torch.cuda.reset_peak_memory_stats(self.device)
            found["gpu_memory_gib"] = round(gib, 2)
        self.pictures = self.steps = 0
        self.waited = self.worked = 0.0
        self._since = time.perf_counter()
        return found


class _Span:
    """Adds its duration to one of a clock's sums."""

    def __init__(self, clock: _Clock, name: str) -> None:
        self.clock, self.name = clock, name

    def __enter__(self) -> None:
        self.clock._since = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        clock = self.clock
        seconds = time.perf_counter() - clock._since
        setattr(clock, self.name, getattr(clock, self.name) + seconds)
