"""Every loss beside its floor and beside another library's; called by losses.py --every.

Pair and rank losses cannot do without two products of the batch with itself, those with class
vectors not without three of the batch with them (scores, and a gradient for either side).
"""

from __future__ import annotations

import torch
from timing import medians, step, two_products

from lookalike import losses

DIMENSIONS = 512
SUP = {"offset": 1.44}
SLOW = 8.0  # seconds of one step at the smaller size beyond which the larger is left out
BY_PAIR = {
    "SmoothAP": losses.SmoothAP,
    "SupAP": lambda: losses.SupAP(**SUP),
    "SmoothHAP": losses.SmoothHAP,
    "SupHAP": lambda: losses.SupHAP(**SUP),
    "SmoothNDCG": losses.SmoothNDCG,
    "SupNDCG": lambda: losses.SupNDCG(**SUP),
    "SmoothRecall": losses.SmoothRecall,
    "SupRecall": lambda: losses.SupRecall(**SUP),
    "RecallAtK": losses.RecallAtK,
    "FastAP": losses.FastAP,
    "SoftBinAP": losses.SoftBinAP,
    "BlackboxAP": losses.BlackboxAP,
    "BlackboxRecall": lambda: losses.BlackboxRecall(lambda_=4.0, margin=0.02),
    "ROADMAP": losses.ROADMAP,
    "Calibration": losses.Calibration,
    "Contrastive": losses.Contrastive,
    "PairContrastive": losses.PairContrastive,
    "MultiSimilarity": losses.MultiSimilarity,
    "Triplet": losses.Triplet,
    "Circle": losses.Circle,
    "NTXent": losses.NTXent,
    "SupCon": losses.SupCon,
    "NCA": losses.NCA,
    "LiftedStructure": losses.LiftedStructure,
    "RankedList": losses.RankedList,
    "PairwiseSigmoid": losses.PairwiseSigmoid,
}
BY_CLASS = {
    "NormSoftmax": losses.NormSoftmax,
    "AdditiveMarginSoftmax": losses.AdditiveMarginSoftmax,
    "CosFace": losses.CosFace,
    "ArcFace": losses.ArcFace,
    "SubCenterArcFace": losses.SubCenterArcFace,
    "SoftTriple": losses.SoftTriple,
    "ProxyNCA": losses.ProxyNCA,
    "ProxyAnchor": losses.ProxyAnchor,
    "PositiveProxy": losses.PositiveProxy,
    "CrossEntropy": losses.CrossEntropy,
}
CENTERS = {"SubCenterArcFace": 3, "SoftTriple": 10}  # vectors a class
# Of pytorch-metric-learning, with the settings that its class has. NTXentLoss is not among them: it
# makes a table of positive by negative pairs, 13 GB at 1,024.
THEIRS = {
    "FastAP": "FastAPLoss",
    "Contrastive": "ContrastiveLoss",
    "MultiSimilarity": "MultiSimilarityLoss",
    "Triplet": "TripletMarginLoss",
    "Circle": "CircleLoss",
    "SupCon": "SupConLoss",
    "NCA": "NCALoss",
    "LiftedStructure": "GeneralizedLiftedStructureLoss",
    "RankedList": "RankedListLoss",
    "NormSoftmax": "NormalizedSoftmaxLoss",
    "CosFace": "CosFaceLoss",
    "ArcFace": "ArcFaceLoss",
    "SubCenterArcFace": "SubCenterArcFaceLoss",
    "SoftTriple": "SoftTripleLoss",
    "ProxyNCA": "ProxyNCALoss",
    "ProxyAnchor": "ProxyAnchorLoss",
}
WHY = {  # beyond the floor, of those far above it or slower than the peer's
    "SmoothHAP": "39 positives a query at the coarse level: each meets all scores",
    "LiftedStructure": "two sweeps, four products: a pair needs the negatives of both its images",
    "SoftTriple": "centres of a class by differences, exact where they fall together",
    "RankedList": "a root and an exponential a pair",
    "Contrastive": "a root a pair and its slope",
    "MultiSimilarity": "two exponentials a pair",
    "Triplet": "three positives compared with every negative",
    "Circle": "two exponentials a pair",
    "NTXent": "an exponential and a soft step a pair",
    "NCA": "two exponentials a pair",
    "ROADMAP": "two losses, two products each",
}
WHY |= dict.fromkeys(("SupHAP", "SmoothNDCG", "SupNDCG"), WHY["SmoothHAP"])
NEEDS = {"RankedListLoss": {"margin": 0.4, "Tn": 10.0, "Tp": 0.0}}


def world(size):
    """Unit vectors around class centres, and labels of three levels: classes of 4, 20 and 40."""
    random = torch.Generator().manual_seed(0)
    item = torch.arange(size)
    centres = [torch.randn(size, DIMENSIONS, generator=random) for _ in range(3)]
    x = 0.7 * centres[0][item // 40] + centres[1][item // 4] + 2.5 * centres[2]
    labels = torch.stack([item // 4, item // 20, item // 40], dim=1)
    return torch.nn.functional.normalize(x).requires_grad_(), labels


def three_products(x, classes):
    """Scores of all class vectors, and the gradients of both sides."""
    x, proxies = x.detach(), torch.randn(classes, DIMENSIONS)
    scores = x.new_empty(len(x), classes)
    by_image, by_class = torch.empty_like(x), torch.empty_like(proxies)

    def go():
        torch.mm(x, proxies.T, out=scores)
        torch.mm(scores, proxies, out=by_image)
        torch.mm(scores.T, x, out=by_class)

    return go


def candidates(size, left_out):
    """The steps of one size by loss and library, and the two floors."""
    from pytorch_metric_learning import losses as peers

    x, labels = world(size)
    finest, classes = labels[:, 0], int(labels[-1, 0]) + 1
    runs = {(1, "pairs"): two_products(x)}
    runs |= {(k, "classes"): three_products(x, k * classes) for k in (1, *CENTERS.values())}
    for name, make in BY_PAIR.items():
        takes_levels = name in ("SmoothHAP", "SupHAP", "SmoothNDCG", "SupNDCG")
        runs[name, "ours"] = step(make(), x, labels if takes_levels else finest)
    for name, make in BY_CLASS.items():
        runs[name, "ours"] = step(make(classes, DIMENSIONS), x, finest)
    for name, theirs in THEIRS.items():
        if (name, "peer") not in left_out:
            sizes = {"num_classes": classes, "embedding_size": DIMENSIONS}
            given = NEEDS.get(theirs, {}) | (sizes if name in BY_CLASS else {})
            loss = getattr(peers, theirs)(**given)
            runs[name, "peer"] = step(loss, x, finest)
    return runs


def rows(sizes, repeat):
    """A row for each loss: of ours the cost in floors, of the peer's in ours."""
    table = {name: {"loss": name} for name in (*BY_PAIR, *BY_CLASS)}
    left_out = set()
    for size in sizes:
        took = medians(candidates(size, left_out), repeat)
        left_out |= {key for key, seconds in took.items() if seconds > SLOW / 16}
        for name, row in table.items():
            centers = CENTERS.get(name, 1)
            floor = took[centers, "classes" if name in BY_CLASS else "pairs"]
            own = took[name, "ours"]
            row["floor"] = "three products" if name in BY_CLASS else "two products"
            row["floor"] += f" with {centers} vectors a class" if centers > 1 else ""
            row[f"{size}"] = f"{own / floor:.2f} × ({own * 1e3:.0f} ms)"
            if (name, "peer") in took:
                row[f"{size}, the peer's"] = f"{took[name, 'peer'] / own:.1f} × ours"
    for name, row in table.items():
        row["why"] = WHY.get(name, "")
    heads = ["loss", "floor", *(h for size in sizes for h in (f"{size}", f"{size}, the peer's"))]
    heads.append("why")
    return [{head: row.get(head, "") for head in heads} for row in table.values()]
