"""Every retrieval metric the slow, obvious way: plain Python over whole rankings."""

from __future__ import annotations

import math

NAN = float("nan")


def dot(a, b):
    """The exact score: Python floats, left to right."""
    total = 0.0
    for x, y in zip(a, b, strict=True):
        total += float(x) * float(y)
    return total


def ranked(items, ties):
    """Ranks of ``[(index, score, grade)]``: a list of (rank, grade), best first.

    "mean" gives every member of a tie the mean of its places.
    """
    second = {
        "stable": lambda item: item[0],
        "mean": lambda item: item[0],
        "optimistic": lambda item: -item[2],
        "pessimistic": lambda item: item[2],
    }[ties]
    order = sorted(items, key=lambda item: (-item[1], second(item), item[0]))
    ranks = list(range(1, len(order) + 1))
    if ties == "mean":
        ranks = []
        for item in order:
            places = [p for p, other in enumerate(order, 1) if other[1] == item[1]]
            ranks.append(sum(places) / len(places))
    return [(rank, item[2]) for rank, item in zip(ranks, order, strict=True)]


def grades(query_label, gallery_label):
    return [a == b and a != -1 for a, b in zip(query_label, gallery_label, strict=True)]


def binary_metrics(ranking, ks):
    """Metrics of a ranking [(rank, 0 or 1)]."""
    hits = [rank for rank, grade in ranking if grade]
    R = len(hits)

    def within(k):
        return sum(rank <= k for rank in hits)

    found = {}
    for k in ks:
        found[f"precision_at_{k}"] = within(k) / k
        found[f"recall_at_{k}"] = 1.0 if within(k) else 0.0
        found[f"true_recall_at_{k}"] = within(k) / min(R, k) if R else NAN
        ap = sum(j / rank for j, rank in enumerate(hits, 1) if rank <= k)
        found[f"mean_average_precision_at_{k}"] = ap / min(R, k) if R else NAN
    found["r_precision"] = within(R) / R if R else NAN
    found["mean_average_precision"] = mean([j / rank for j, rank in enumerate(hits, 1)])
    at_r = [j / rank if rank <= R else 0.0 for j, rank in enumerate(hits, 1)]
    found["mean_average_precision_at_r"] = mean(at_r)
    found["mean_reciprocal_rank"] = 1 / hits[0] if R else NAN
    steps = []
    for j, rank in enumerate(hits, 1):
        before = (j - 1) / (rank - 1) if rank > 1 else 1.0
        steps.append((before + j / rank) / 2)
    found["mean_average_precision_trapezoid"] = mean(steps)
    for k in ks:
        head = [step for step, rank in zip(steps, hits, strict=True) if rank <= k]
        found[f"mean_average_precision_trapezoid_at_{k}"] = sum(head) / min(R, k) if R else NAN
        depth = min(hits[-1], k) if R else NAN
        found[f"mean_precision_at_{k}"] = within(k) / depth
        found[f"ir_recall_at_{k}"] = within(k) / R if R else NAN
        found[f"mean_reciprocal_rank_at_{k}"] = 1 / hits[0] if within(k) else 0.0
    found["mean_inverse_negative_penalty"] = R / hits[-1] if R else NAN
    return found if R else dict.fromkeys(found, NAN)


def mean(values):
    return sum(values) / len(values) if values else NAN


def all_ndcg(ranking, ks):
    found = {}
    for stem, linear in (("ndcg", False), ("linear_ndcg", True)):
        found[stem] = ndcg(ranking, linear=linear)
        found |= {f"{stem}_at_{k}": ndcg(ranking, k, linear) for k in ks}
    return found


def ndcg(ranking, k=math.inf, linear=False):
    gains = [(grade if linear else 2**grade - 1, rank) for rank, grade in ranking]
    dcg = sum(gain / math.log2(1 + rank) for gain, rank in gains if rank <= k)
    best = sorted((gain for gain, _ in gains), reverse=True)
    best = best[: min(k, len(best))]
    ideal = sum(gain / math.log2(1 + place) for place, gain in enumerate(best, 1))
    return dcg / ideal if ideal else NAN


def relevances(ranking, highest, kind="pop", alpha=1.0):
    """Relevance of each grade, from the items ranked."""
    table = [0.0]
    if kind == "pop":
        for level in range(1, highest + 1):
            n = sum(grade == level for _, grade in ranking)
            table.append((level / highest) ** alpha / n if n else 0.0)
        return table
    for level in range(1, highest + 1):
        n = sum(grade >= level for _, grade in ranking)
        table.append(table[-1] + (alpha[level - 1] / n if n else 0.0))
    return table


def h_ap(ranking, table):
    """Direct definition: no grouping of equal relevances."""
    values = [table[grade] for _, grade in ranking]
    whole = sum(values)
    total = 0.0
    for k, (rank, _) in enumerate(ranking):
        total += (values[k] + sum(min(values[k], values[m]) for m in range(k))) / rank
    return total / whole if whole else NAN


def asi(ranking, highest):
    R = sum(grade > 0 for _, grade in ranking)
    best = sorted((grade for _, grade in ranking), reverse=True)
    steps = []
    for k in range(1, R + 1):
        have = [grade for rank, grade in ranking if rank <= k]
        shared = sum(min(have.count(v), best[:k].count(v)) for v in range(1, highest + 1))
        steps.append(shared / k)
    return mean(steps)


def evaluate(
    query,
    query_labels,
    gallery=None,
    gallery_labels=None,
    *,
    own=None,
    sequences=None,
    ks=(1, 2, 4, 8),
    ties="stable",
    kind="pop",
    alpha=1.0,
):
    """Per-query values, by the keys of a report. Labels are lists of tuples, finest first."""
    if gallery is None:
        gallery, gallery_labels, own = query, query_labels, list(range(len(query)))
    own = own if own is not None else [-1] * len(query)
    columns = len(query_labels[0])
    result = {}
    best, first = [], [[] for _ in range(columns)]
    for q, (vector, label) in enumerate(zip(query, query_labels, strict=True)):
        items = []
        for g, (other, other_label) in enumerate(zip(gallery, gallery_labels, strict=True)):
            same = sequences is not None and sequences[0][q] == sequences[1][g] != -1
            if g != own[q] and not same:
                items.append((g, dot(vector, other), grades(label, other_label)))
        best.append(max((item[1] for item in items), default=-math.inf))
        for level in range(columns):
            suffix = f"_level{level}" if columns > 1 else ""
            view = ranked([(g, s, int(match[level])) for g, s, match in items], ties)
            found = binary_metrics(view, ks)
            if columns > 1:
                found |= all_ndcg(view, ks) | {"asi": asi(view, 1)}
            left = [(g, s, int(m[level])) for g, s, m in items if not any(m[:level])]
            found["exclusive_average_precision"] = binary_metrics(ranked(left, ties), [1])[
                "mean_average_precision"
            ]
            for name, value in found.items():
                result.setdefault(name + suffix, []).append(value)
            positives = [rank for rank, grade in view if grade]
            first[level].append(positives[0] if positives else None)
        view = ranked([(g, s, sum(match)) for g, s, match in items], ties)
        for name, value in all_ndcg(view, ks).items():
            result.setdefault(name, []).append(value)
        result.setdefault("asi", []).append(asi(view, columns))
        table = relevances(view, columns, kind, alpha)
        result.setdefault("h_ap", []).append(h_ap(view, table))
        # HAPPIER's program: the query is one of its own finest class, but stands nowhere.
        itself = [(0, columns)] if own[q] != -1 else []
        table = relevances([*view, *itself], columns, kind, alpha)
        result.setdefault("h_ap_happier", []).append(h_ap(view, table))
    for level in range(columns):
        suffix = f"_level{level}" if columns > 1 else ""
        shares = micro(best, first[level], ties)
        result["micro_average_precision" + suffix] = shares
    return result


def micro(best, first, ties):
    """Each query's share of the micro average precision."""
    right = [rank is not None and rank <= 1 for rank in first]
    view = sorted(
        ((q, score, int(right[q])) for q, score in enumerate(best)), key=lambda item: item[0]
    )
    order = {
        "stable": lambda item: (-item[1], item[0]),
        "mean": lambda item: (-item[1], item[0]),
        "optimistic": lambda item: (-item[1], -item[2], item[0]),
        "pessimistic": lambda item: (-item[1], item[2], item[0]),
    }[ties]
    view.sort(key=order)
    shares = [0.0 if rank is not None else NAN for rank in first]
    hits = 0
    for place, (q, score, good) in enumerate(view, 1):
        if good:
            hits += 1
            rank = place
            if ties == "mean":
                rank = mean([p for p, other in enumerate(view, 1) if other[1] == score])
            shares[q] = hits / rank
    return shares
