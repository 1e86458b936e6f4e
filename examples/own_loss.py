"""A loss of your own: a module that is called with embeddings and labels.

python examples/own_loss.py                 checks it against the rules of all losses
cd examples && lookalike train dataset=toy loss=own_loss.Lifted loss.margin=0.8
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookalike.testing import check_loss


class Lifted(nn.Module):
    """Lifted structure (Oh Song et al., CVPR 2016, eq. 4), with cosines for distances.

    Args:
        margin: how much nearer a positive must be than all negatives together.
        scale: how sharply the hardest negatives weigh.
    """

    def __init__(self, margin: float = 1.0, scale: float = 10.0) -> None:
        super().__init__()
        self.margin, self.scale = margin, scale

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        indices_tuple: None = None,
        ref_emb: Tensor | None = None,
        ref_labels: Tensor | None = None,
    ) -> Tensor:
        """``(B, D)`` embeddings and ``(B,)`` or ``(B, L)`` labels to a number."""
        alone = ref_emb is None or ref_emb is embeddings
        own = labels.reshape(len(embeddings), -1)[:, 0]
        other = own if ref_labels is None else ref_labels.reshape(len(ref_labels), -1)[:, 0]
        same = own[:, None] == other[None, :]
        pairs = same & ~torch.eye(len(own), dtype=torch.bool, device=own.device) if alone else same
        with torch.autocast(embeddings.device.type, enabled=False):  # never in half precision
            x, y = (_unit(e) for e in (embeddings, embeddings if ref_emb is None else ref_emb))
            scores = self.scale * (x @ y.T - 1)
        negatives = scores.masked_fill(same, -torch.inf).logsumexp(1, keepdim=True)
        hinge = (negatives - scores + self.scale * self.margin).clamp(min=0) / self.scale
        return torch.where(pairs, hinge, 0.0).pow(2).sum() / (2 * pairs.sum().clamp(min=1))


def _unit(x: Tensor) -> Tensor:
    if not torch.isfinite(x).all():
        raise ValueError("embeddings hold NaN or infinity")
    return F.normalize(x if x.dtype == torch.float64 else x.float(), dim=1)


if __name__ == "__main__":
    print(check_loss(Lifted, processes=0))  # its law for several processes: in a test of yours
