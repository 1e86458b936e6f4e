"""Cross-batch memory: pairs with the embeddings of past batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lookalike.calls import NamedArguments
from lookalike.errors import LookalikeError, counted
from lookalike.losses.arguments import between, one_of
from lookalike.losses.calling import call, mine
from lookalike.losses.inputs import columns, real, tensor
from lookalike.losses.miners import Miner
from lookalike.losses.pairs import OwnCopies, in_bank, joined, without_copies


class CrossBatchMemory(NamedArguments, nn.Module):
    """Cross-batch memory: a loss of the batch against a bank of past embeddings.

    ::

        bank <- bank + batch (detached);   L = w_b · loss(batch) + w_m · loss(batch, bank)

    Wang et al., *Cross-batch memory for embedding learning*, CVPR 2020 (arXiv 1912.06798). The
    batch enters the bank before the bank is read, so that the batch's own images are among the
    references. A pair loss never sees an image paired with its own copy; to a rank loss that copy
    is what the query is to itself without a bank: its first positive with ``include_self=True``,
    absent without, a mere competitor in :class:`RecallAtK`.

    The bank keeps the last ``memory_size`` embeddings. With ``indices`` (the number of each
    image in its data set) an older copy of an image is dropped as soon as the image is seen
    again. Everything is in the state dict: bank, labels, indices, ages, pointer, filled count,
    steps. In ``eval()`` mode the bank is read and not written.

    Args:
        loss: ours, pytorch-metric-learning's or your own.
        embedding_size: width D.
        memory_size: rows of the bank.
        miner: ours, or any of pytorch-metric-learning's call: the pairs of batch and bank that
            count; None: all. What it finds of an image and its own copy is dropped.
        start_step: calls before which the bank only fills and the loss is that of the batch.
        max_age: calls after which a row is read no more; None keeps it until overwritten.
        batch_weight: w_b, 0 as published with XBM; 1 in ROADMAP, 0.5 in SupRank.
        memory_weight: w_m; 0.5 in SupRank.
        wrap: what a batch that does not fit into the rest of the bank does. ``"ring"`` writes on
            from the first row; ``"tail"`` writes over the last rows and starts again (SupRank).

    Raises:
        ConfigError: sizes below 1.
        LookalikeError: a batch larger than the bank.

    Relations:
        Made for pair losses, :class:`PairContrastive` first of all. Under several processes hand
        it the gathered batch. While the network still moves fast, a batch flees a stale bank as
        one body and its classes fall together: begin late (``start_step``), learn slowly, or keep
        ``batch_weight`` above 0 and ``memory_weight`` small beside it.

    >>> from lookalike.losses import MultiSimilarity
    >>> memory = CrossBatchMemory(MultiSimilarity(), embedding_size=8, memory_size=1024)
    >>> for step in range(3):
    ...     value = memory(torch.randn(4, 8), torch.tensor([0, 0, 1, 1]))
    >>> memory.read()[0].shape
    torch.Size([12, 8])
    """

    takes_pairs = False
    bank: Tensor
    bank_labels: Tensor
    bank_indices: Tensor
    bank_steps: Tensor
    pointer: Tensor
    filled: Tensor
    step: Tensor

    def __init__(
        self,
        loss: nn.Module,
        embedding_size: int,
        memory_size: int = 1024,
        miner: Miner | Callable[..., Any] | None = None,
        *,
        start_step: int = 0,
        max_age: int | None = None,
        batch_weight: float = 0.0,
        memory_weight: float = 1.0,
        wrap: Literal["ring", "tail"] = "ring",
    ) -> None:
        super().__init__()
        name = type(self).__name__
        one_of(name, "wrap", wrap, ("ring", "tail"))
        self.loss = loss
        self.embedding_size = int(between(name, "embedding_size", embedding_size, 1))
        self.memory_size = int(between(name, "memory_size", memory_size, 1))
        self.miner = miner
        self.start_step = between(name, "start_step", start_step, 0)
        self.max_age = None if max_age is None else between(name, "max_age", max_age, 1)
        self.batch_weight = between(name, "batch_weight", batch_weight, 0)
        self.memory_weight = between(name, "memory_weight", memory_weight, 0)
        self.wrap = wrap
        self.register_buffer("bank", torch.zeros(memory_size, embedding_size))
        self.register_buffer("bank_labels", torch.zeros(memory_size, 1, dtype=torch.int64))
        self.register_buffer("bank_indices", torch.full((memory_size,), -1))
        # The call that wrote a row; -1 marks a row that is empty or holds an outdated copy.
        self.register_buffer("bank_steps", torch.full((memory_size,), -1))
        for name in ("pointer", "filled", "step"):
            self.register_buffer(name, torch.zeros((), dtype=torch.int64))

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        indices_tuple: Any = None,
        enqueue_mask: Tensor | None = None,
        *,
        ref_emb: Tensor | None = None,
        ref_labels: Tensor | None = None,
        indices: Tensor | None = None,
    ) -> Tensor:
        """The loss of a batch against the bank, which it enters.

        Args:
            embeddings: ``(B, embedding_size)``, B at most memory_size.
            labels: ``(B,)`` or ``(B, L)``, the same L at every call.
            indices_tuple: pairs or triplets mined in the batch, which count beside those of the
                bank; the other image of each is the one that the batch put into the bank.
            enqueue_mask: ``(B,)`` bool: these enter the bank, and the loss is that of the others,
                as where a second network embeds keys. Not beside ``indices_tuple``.
            ref_emb: refused: the bank is the reference.
            ref_labels: refused.
            indices: ``(B,)`` number of each image in its data set.
        """
        if ref_emb is not None or ref_labels is not None:
            raise LookalikeError(
                "CrossBatchMemory takes no ref_emb: its bank is the reference. Drop it."
            )
        embeddings = tensor("CrossBatchMemory", embeddings, "embeddings")
        labels = columns("CrossBatchMemory", labels, len(embeddings), "labels", keep=True)
        if enqueue_mask is not None:
            keys = self._mask(enqueue_mask, indices_tuple, len(embeddings)).to(embeddings.device)
            if self.training:
                number = None if indices is None else indices[keys]
                self.enqueue(embeddings[keys], labels[keys], number)
            embeddings, labels, own = embeddings[~keys], labels[~keys], None
        else:
            own = self.enqueue(embeddings, labels, indices) if self.training else None
        if int(self.step) <= self.start_step:
            return self._of_batch(embeddings, labels, indices_tuple)
        total = self.memory_weight * self._against_bank(embeddings, labels, own, indices_tuple)
        if self.batch_weight:
            total = total + self.batch_weight * self._of_batch(embeddings, labels, indices_tuple)
        return total

    @torch.no_grad()
    def enqueue(self, embeddings: Tensor, labels: Tensor, indices: Tensor | None = None) -> Tensor:
        """Write a batch into the bank; returns the rows it went to, ``(B,)``."""
        x = real("CrossBatchMemory", embeddings.detach(), "embeddings", normalize=False)
        codes = columns("CrossBatchMemory", labels, len(x), "labels").to(x.device)
        if len(x) > self.memory_size or x.shape[1] != self.embedding_size:
            raise LookalikeError(
                f"CrossBatchMemory: a batch of {counted(len(x), 'embedding')} {x.shape[1]} wide"
                " does not go "
                f"into {counted(self.memory_size, 'row')} of {self.embedding_size}."
            )
        self._fit(x, codes)
        rows = self._place(len(x)).to(x.device)
        if indices is not None:
            indices = torch.as_tensor(indices, device=x.device, dtype=torch.int64)
            self.bank_steps[torch.isin(self.bank_indices, indices)] = -1
        self.bank[rows] = x.to(self.bank.dtype)
        self.bank_labels[rows] = codes
        self.bank_indices[rows] = -1 if indices is None else indices
        self.bank_steps[rows] = int(self.step)
        self.step += 1
        return rows

    def read(self) -> tuple[Tensor, Tensor]:
        """The embeddings and labels that are in the bank, ``(M, D)`` and ``(M, L)``."""
        alive = self._alive()
        return self.bank[alive], self.bank_labels[alive]

    def reset_queue(self) -> None:
        """Empty the bank; the number of calls made stays."""
        self.bank_steps.fill_(-1)
        self.bank_indices.fill_(-1)
        self.pointer.zero_()
        self.filled.zero_()

    def _mask(self, mask: Any, indices_tuple: Any, rows: int) -> Tensor:
        mask = torch.as_tensor(mask)
        if indices_tuple is not None:
            raise LookalikeError("CrossBatchMemory: give indices_tuple or enqueue_mask, not both.")
        if mask.dtype != torch.bool or mask.shape != (rows,):
            raise LookalikeError(
                f"CrossBatchMemory: enqueue_mask must be {rows} of true and false, not "
                f"{tuple(mask.shape)} of {mask.dtype}."
            )
        return mask

    def _of_batch(self, embeddings: Tensor, labels: Tensor, pairs: Any) -> Tensor:
        """The loss of the batch against itself."""
        if self.miner is not None:
            found = mine(self.miner, embeddings, labels)
            pairs = found if pairs is None else joined(found, pairs)
        return call(self.loss, embeddings, labels, pairs)

    def _against_bank(
        self, embeddings: Tensor, labels: Tensor, own: Tensor | None, given: Any = None
    ) -> Tensor:
        alive = self._alive()
        references, codes = self.bank[alive], self.bank_labels[alive]
        # The bank's rows stand in ascending order, the batch's own among them.
        copies = None if own is None else torch.searchsorted(alive, own)
        if labels.dim() == 1:
            codes = codes[:, 0]
        pairs: Any = None if copies is None else OwnCopies(copies)
        if self.miner is not None:
            pairs = mine(self.miner, embeddings, labels, references, codes)
            pairs = pairs if copies is None else without_copies(pairs, copies)
        if given is not None:
            if copies is None:
                raise LookalikeError(
                    "CrossBatchMemory: indices_tuple names images of the batch, which eval() does "
                    "not put into the bank. Call train(), or leave it out."
                )
            if self.miner is None:
                finest = [x if x.dim() == 1 else x[:, 0] for x in (labels, codes)]
                pairs = OwnCopies(copies).indices(finest[0], finest[1])
            pairs = joined(pairs, in_bank("CrossBatchMemory", given, copies))
        return call(self.loss, embeddings, labels, pairs, references, codes)

    def _alive(self) -> Tensor:
        """Rows to read, in the order of the bank."""
        oldest = 0 if self.max_age is None else max(0, int(self.step) - self.max_age)
        return (self.bank_steps >= oldest).nonzero().flatten()

    def _place(self, count: int) -> Tensor:
        """The rows for the next batch; moves the pointer."""
        size, start = self.memory_size, int(self.pointer)
        if self.wrap == "ring":
            end = (start + count) % size
            rows = torch.arange(start, start + count) % size
        elif start + count > size:
            end = 0
            rows = torch.arange(size - count, size)
        else:
            end = start + count
            rows = torch.arange(start, end)
        self.pointer.fill_(end)
        self.filled.fill_(max(int(self.filled), min(size, int(rows.max()) + 1) if count else 0))
        return rows

    def _fit(self, x: Tensor, codes: Tensor) -> None:
        """Bring the bank to the device, precision and label columns of the batch."""
        if self.bank.device != x.device:
            self.to(x.device)
        empty = int(self.filled) == 0
        if empty:
            self.bank = self.bank.to(x.dtype)
        if codes.shape[1] != self.bank_labels.shape[1]:
            if not empty:
                raise LookalikeError(
                    f"CrossBatchMemory: labels of {codes.shape[1]} column(s), but the bank holds "
                    f"{self.bank_labels.shape[1]}."
                )
            self.bank_labels = self.bank_labels.new_zeros(self.memory_size, codes.shape[1])

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        labels = state_dict.get(f"{prefix}bank_labels")
        if labels is not None and labels.shape[0] == self.memory_size:
            self.bank_labels = self.bank_labels.new_zeros(labels.shape)
        bank = state_dict.get(f"{prefix}bank")
        if bank is not None and bank.is_floating_point():
            self.bank = self.bank.to(bank.dtype)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
