"""Normalised and adjusted mutual information, fast where clusters are many."""

from __future__ import annotations

import numpy as np

_SLACK = 1e-12  # nats of rounding


def information(together: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    r"""NMI and AMI of two partitions (Vinh, Epps and Bailey, JMLR 2010), in their own words.

    NMI is :math:`I / \bar H` with the arithmetic mean of both entropies, and AMI
    :math:`(I - E) / (\bar H - E)` with the expectation E of I over partitions of the same sizes.

    Args:
        together: the items of every pair of a cluster and a class that has some.
        a: the items of every cluster.
        b: the items of every class.

    Returns:
        Both in nats' ratio; 1 where either partition is a single group and the other too, and 0
        where only one is.

    >>> information(np.array([2, 2]), np.array([2, 2]), np.array([2, 2]))
    (1.0, 1.0)
    """
    if len(a) == 1 or len(b) == 1:
        same = float(len(a) == len(b))
        return same, same
    mean = (_entropy(a) + _entropy(b)) / 2
    mutual = max(_entropy(a) + _entropy(b) - _entropy(together), 0.0)
    chance = expected_information(a, b)
    # Where chance already gives all there is, nothing can be better.
    adjusted = (mutual - chance) / (mean - chance) if mean - chance > _SLACK else 1.0
    return float(mutual / mean), float(adjusted)


def expected_information(a: np.ndarray, b: np.ndarray) -> float:
    r"""The mean mutual information, in nats, of random partitions into groups of given sizes.

    :math:`\sum_{ij} \sum_n \frac{n}{N} \log \frac{N n}{a_i b_j}\, P(n; a_i, b_j, N)` with the
    hypergeometric probability P. Groups of one size are alike, so each pair of sizes is summed
    once: √N² pairs at most instead of one for every cluster and class.

    Args:
        a: sizes of one partition, positive integers.
        b: sizes of the other, with the same sum.
    """
    from scipy.special import gammaln

    items = int(a.sum())
    size_a, count_a = np.unique(a.astype(np.int64), return_counts=True)
    size_b, count_b = np.unique(b.astype(np.int64), return_counts=True)
    logs = gammaln(np.arange(items + 1) + 1.0)  # log n!
    total = 0.0
    for size, times in zip(size_a.tolist(), count_a.tolist(), strict=True):
        first = np.maximum(1, size + size_b - items)
        terms = np.minimum(size, size_b) - first + 1
        other = np.repeat(size_b, terms)
        start = np.repeat(first - (np.cumsum(terms) - terms), terms)
        n = np.arange(len(other)) + start
        log_p = (
            logs[size] + logs[items - size] + logs[other] + logs[items - other]
            - logs[items] - logs[n] - logs[size - n] - logs[other - n]
            - logs[items - size - other + n]
        )  # fmt: skip
        gain = n / items * (np.log(items) + np.log(n) - np.log(size) - np.log(other))
        total += times * float((np.repeat(count_b, terms) * gain * np.exp(log_p)).sum())
    return total


def _entropy(sizes: np.ndarray) -> float:
    share = sizes / sizes.sum()
    return float(-(share * np.log(share)).sum())
