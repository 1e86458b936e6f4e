"""The rank losses as their papers write them: plain loops over numbers, slow and obvious.

Every function takes one query: its scores, how many label columns each reference shares with it,
and the column that is the query itself (None where the query is not among the references).
"""

import math

import numpy as np


def sigmoid(x, tau):
    return 1 / (1 + math.exp(min(max(-x / tau, -50), 50)))


def smooth(x, tau=0.01):
    return sigmoid(x, tau)


def heaviside(x):
    return 1.0 if x >= 0 else 0.0


def upper(x, tau=0.01, rho=100.0, delta=0.05, start=0.5, offset=None):
    if offset is None:
        offset = start + sigmoid(delta, tau)
    if x <= 0:
        return sigmoid(x, tau)
    return start + sigmoid(x, tau) if x <= delta else rho * (x - delta) + offset


def lower(x, beta=25.0, gamma=0.5, leak=10.0):
    if x <= 0:
        return leak * x
    return min(beta * x + gamma, 1.0)


def rank(scores, shared, i, below, peer):
    """1 + what every other item adds: by `below` if it shares fewer levels than i, else `peer`."""
    total = 1.0
    for j in range(len(scores)):
        if j != i:
            step = below if shared[j] < shared[i] else peer
            total += step(scores[j] - scores[i])
    return total


def h_rank(scores, shared, worth, i, peer, better):
    total = worth[i]
    for j in range(len(scores)):
        if j != i:
            step = better if shared[j] > shared[i] else peer
            total += step(scores[j] - scores[i]) * min(worth[i], worth[j])
    return total


def pop(shared, alpha=1.0):
    return [level**alpha / shared.count(level) if level else 0.0 for level in shared]


def by_level(shared, alpha):
    deeper = [sum(other >= level for other in shared) for level in range(len(alpha) + 1)]
    return [sum(alpha[p - 1] / deeper[p] for p in range(1, level + 1)) for level in shared]


def h_ap(scores, shared, below, peer, better=None, worth=pop):
    worth = worth(shared)
    total = 0.0
    for i, value in enumerate(worth):
        if value:
            ahead = h_rank(scores, shared, worth, i, peer, better or peer)
            total += ahead / rank(scores, shared, i, below, peer)
    return 1 - total / sum(worth)


def ap(scores, shared, below, peer):
    binary = [min(level, 1) for level in shared]
    return h_ap(scores, binary, below, peer)


def ndcg(scores, shared, below, peer):
    gain = [2**level - 1 for level in shared]
    found = sum(
        g / math.log2(1 + rank(scores, shared, i, below, peer)) for i, g in enumerate(gain) if g
    )
    best = sum(g / math.log2(place + 2) for place, g in enumerate(sorted(gain, reverse=True)))
    return 1 - found / best


def recall(scores, shared, below, peer, at_k, temp=1.0):
    places = [rank(scores, shared, i, below, peer) for i, level in enumerate(shared) if level]
    found = [sum(sigmoid(k - r, temp) for r in places) / min(len(places), k) for k in at_k]
    return 1 - sum(found) / len(found)


def recall_at_k(scores, shared, at_k, temp_k=1.0, temp_s=0.01):
    """`shared` is 0 for the query itself: it takes a place but is no positive."""

    def step(x):
        return sigmoid(x, temp_s)

    places = [rank(scores, shared, i, step, step) for i, level in enumerate(shared) if level]
    found = [
        min(sum(sigmoid(k - r, temp_k) for r in places), k) / min(k, len(places)) for k in at_k
    ]
    return 1 - sum(found) / len(found)


def bin_share(score, q, bins, low, high):
    gap = (high - low) / (bins - 1)
    score = min(max(score, low), high)
    return max(0.0, 1 - abs(score - (high - q * gap)) / gap)


def binned_ap(scores, shared, bins, low=-1.0, high=1.0):
    matching, every, total = 0.0, 0.0, 0.0
    for q in range(bins):
        here = [bin_share(s, q, bins, low, high) for s in scores]
        good = sum(h for h, level in zip(here, shared, strict=True) if level)
        matching, every = matching + good, every + sum(here)
        if good:
            total += good * matching / every
    return 1 - total / sum(level > 0 for level in shared)


def mean_rank(scores, i):
    """Place of i when the best comes first; ties share their mean place."""
    ahead = sum(other > scores[i] for other in scores)
    return 1 + ahead + (sum(other == scores[i] for other in scores) - 1) / 2


def blackbox_ap(scores, shared):
    places = [i for i, level in enumerate(shared) if level]
    among = [scores[i] for i in places]
    total = sum(mean_rank(among, n) / mean_rank(scores, i) for n, i in enumerate(places))
    return 1 - total / (len(places) + 1e-5)


def blackbox_gradient(scores, shared, by_rank, lambda_):
    """`by_rank(i)` is the derivative by the rank of i divided by the number of items."""
    size = len(scores)
    moved = [s + lambda_ * by_rank(i) if shared[i] else s for i, s in enumerate(scores)]
    return [
        -(mean_rank(scores, j) - mean_rank(moved, j)) / size / (lambda_ + 1e-8) for j in range(size)
    ]


def batch(loss, query, reference, query_labels, reference_labels, role="positive", normalize=True):
    """The mean of a query's loss over the queries that have a positive.

    `role` is what the query is to itself: "positive", "competitor" or "absent"; anything but
    "positive" means that `reference` is `query`.
    """
    if normalize:
        query = query / np.linalg.norm(query, axis=1, keepdims=True)
        reference = reference / np.linalg.norm(reference, axis=1, keepdims=True)
    losses = []
    for b in range(len(query)):
        scores, shared = [], []
        for j in range(len(reference)):
            if role == "absent" and j == b:
                continue
            scores.append(float(query[b] @ reference[j]))
            equal = sum(query_labels[b][n] == label for n, label in enumerate(reference_labels[j]))
            shared.append(0 if role == "competitor" and j == b else equal)
        if any(shared):
            losses.append(loss(scores, shared))
    return sum(losses) / len(losses)


def finite_differences(function, x, step=1e-6):
    """Gradient of a scalar function of an array, by central differences."""
    gradient = np.zeros_like(x)
    for at in np.ndindex(*x.shape):
        for sign in (1, -1):
            moved = x.copy()
            moved[at] += sign * step
            gradient[at] += sign * function(moved) / (2 * step)
    return gradient
