"""A loss with one flaw at a time, for the conformance pack to find."""

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F


class Broken(nn.Module):
    """A contrastive loss that is right until a flaw is named."""

    def __init__(self, flaw="", chunk_size=None):
        super().__init__()
        self.flaw = flaw
        self.chunk_size = chunk_size
        self.weight = nn.Parameter(torch.ones(())) if flaw != "unsaved" else None
        self.unsaved = torch.rand(())

    def forward(self, embeddings, labels, indices_tuple=None, ref_emb=None, ref_labels=None):
        if self.flaw == "autocast":
            return self.value(embeddings, labels, ref_emb, ref_labels)
        with torch.autocast(embeddings.device.type, enabled=False):
            return self.value(embeddings, labels, ref_emb, ref_labels)

    def value(self, x, labels, ref_emb, ref_labels):  # noqa: C901 - one branch a flaw
        flaw = self.flaw
        if flaw == "single" or x.dtype != torch.float64:
            x = x.float()
        if flaw == "in place":
            x.data.mul_(1.001)
        if flaw != "nan" and not torch.isfinite(x).all():
            raise ValueError("x holds NaN or infinity")
        x = F.normalize(x.nan_to_num(), dim=1)
        own = ref_emb is None or (flaw != "reference" and ref_emb.shape == x.shape)
        ref = x if own else F.normalize(ref_emb.to(x.dtype), dim=1)
        y = labels if labels.dim() == 1 else labels[:, 0]
        ref_y = y if own else (ref_labels if ref_labels.dim() == 1 else ref_labels[:, 0])
        s = x @ ref.T
        if flaw == "gradient":
            s = s.detach() + 0.5 * (s - s.detach())
        same = y[:, None] == ref_y
        if flaw == "labels":
            same = same & (y[:, None] < 3)
        if flaw == "order":
            same = same & (torch.arange(len(y))[:, None] < 5)
        if own:
            same = same & ~torch.eye(len(y), dtype=torch.bool)
        if flaw == "chunk" and self.chunk_size:
            s = s[: self.chunk_size]
            same = same[: self.chunk_size]
        scale = 1.0 if self.weight is None else self.weight.to(s.dtype)
        if flaw == "unsaved":
            scale = self.unsaved.to(s.dtype)
        terms = scale * torch.where(same, 1 - s, (s - 0.2).relu())
        if flaw == "singletons":
            return terms.sum() / same.sum()
        if flaw == "ties":
            terms = terms + (2 - 2 * s + 1e-12 * ~same).abs().sqrt() * same
        if flaw == "vector":
            return terms.sum(dim=1)
        if flaw == "rank" and dist.is_initialized():
            return terms.sum() * (1 + dist.get_rank())
        return terms.sum() / 100
