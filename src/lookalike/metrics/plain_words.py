"""Every metric in a plain sentence with a small example, which needs no formula to be read."""

from __future__ import annotations

_PLACES = "right images at places 1 and 4"
PLAIN = {
    "precision_at_{k}": "The share of the {k} nearest images that are of the query's class: "
    "3 of 4 give 0.75.",
    "recall_at_{k}": "How often one or more of the {k} nearest images are of the query's class: "
    "for 8 of 10 queries gives 0.8.",
    "true_recall_at_{k}": "Of the right images that the {k} nearest could hold, the share that "
    "they hold: 3 of 4 give 0.75.",
    "r_precision": "With R right images in the gallery, the share of the R nearest that are right: "
    "3 of 4 give 0.75.",
    "mean_average_precision": "How far to the front all right images stand: 1 if nothing stands "
    f"before them; two {_PLACES} give (1/1 + 2/4) / 2 = 0.75.",
    "mean_average_precision_at_r": "How far to the front right images stand among the R nearest, R "
    "being their number: two at places 1 and 2 give 1, one of two at place 2 (1/2) / 2 = 0.25.",
    "mean_average_precision_at_{k}": "How far to the front right images stand among the {k} "
    "nearest, those behind counting nothing: of two with k = 10, one at place 1 gives 0.5.",
    "mean_reciprocal_rank": "How soon the first right image comes: at place 1 it gives 1, at "
    "place 4 it gives 1/4.",
    "mean_reciprocal_rank_at_{k}": "How soon the first right image comes: at place 1 it gives 1, "
    "beyond the {k} nearest 0.",
    "ndcg": "How well images of the same class stand before those of the same coarser level, and "
    "these before the rest: 1 if always; the one right image at place 3 gives 1 / log2(4) = 0.5.",
    "ndcg_at_{k}": "NDCG of the {k} nearest images alone: 1 if they are the best there are, "
    "in order.",
    "linear_ndcg": "NDCG with less weight on the finest level: two shared levels count twice as "
    "much as one, and not three times; the one right image at place 3 gives 0.5.",
    "linear_ndcg_at_{k}": "The same of the {k} nearest images alone: 1 if they are the best "
    "there are, in order.",
    "ir_recall_at_{k}": "The share of all right images that are among the {k} nearest: 1 of 5 "
    "gives 0.2.",
    "mean_inverse_negative_penalty": "How soon the last right image comes: 3 of them, the last at "
    "place 6, give 3/6 = 0.5.",
    "h_ap": "Average precision in which images of the same coarser level count too, if less: 1 if "
    f"the closest always come first. With one level it is mAP: two {_PLACES} give 0.75.",
    "h_ap_happier": "H-AP as the program of HAPPIER counts it, for comparisons with its papers: "
    "1 is the best.",
    "asi": "How much the front of the ranking shares with the best one, depth by depth: of two "
    "right images, places 1 and 3 give (1/1 + 1/2) / 2 = 0.75.",
    "micro_average_precision": "One guess a query, its nearest image, sure guesses first: of two "
    "queries, the surer guess right and the other wrong give 0.5. Wrong but sure costs most.",
    "mean_average_precision_trapezoid": "Average precision as the Oxford and Paris benchmarks "
    f"count it: two {_PLACES} give (1 + (1/3 + 2/4) / 2) / 2 = 0.71.",
    "mean_average_precision_trapezoid_at_{k}": "The trapezoidal average precision of the {k} "
    "nearest images alone: 1 if the right ones come first.",
    "mean_precision_at_{k}": "The share of right images among the {k} nearest, or down to the last "
    "right one where that comes sooner: 3 of 4 give 0.75.",
    "exclusive_average_precision": "How far to the front images stand that share this level and no "
    f"finer one, the finer ones taken out: two {_PLACES} give 0.75.",
    "pairwise_f": "Pairs in one cluster should be of one class, and pairs of one class in one "
    "cluster: where 3 of 4 are, both ways, 0.75.",
    "b_cubed_f": "How pure the cluster of an image is, and how much of its class it holds: whole "
    "classes, two to a cluster, give 2 · 0.5 · 1 / 1.5 = 0.67.",
    "nmi": "How much the clusters tell of the classes, from 0 to 1. Many clusters raise it: 10 "
    "classes of 10 images, each its own cluster, still have 0.67.",
    "ami": "How much the clusters tell of the classes, less what chance gives: 0 for random "
    "clusters, 1 for the very classes.",
    "ari": "On how many pairs clusters and classes agree, less what chance gives: 0 for random "
    "clusters, 1 for the very classes.",
    "pair_auroc": "How often a pair of one class is more alike than a pair of two: 0.5 by chance, "
    "1 if always.",
    "pair_average_precision": "All pairs sorted by how alike they are: 1 if those of one class "
    "come first; two of them at places 1 and 4 give 0.75.",
    "equal_error_rate": "The errors at the threshold where as large a share of other pairs is "
    "accepted as of matching pairs is missed: 0.05 is 1 in 20 of both.",
    "fnmr_at_fmr": "The share of matching pairs that is missed where at most a share F of other "
    "pairs is accepted: 0.1 is 1 in 10.",
}
for _setup, _views in {
    "easy": "easy", "medium": "easy and hard", "hard": "hard", "original": "good and ok",
}.items():  # fmt: skip
    PLAIN[f"{_setup}_map"] = (
        f"How far to the front views of the same building stand ({_views}): 1 if nothing stands "
        "before them; two at places 1 and 4 give 0.71."
    )
    PLAIN[f"{_setup}_mp_at_{{k}}"] = (
        f"The share of views of the same building ({_views}) among the {{k}} nearest, or down to "
        "the last of them where that comes sooner: 3 of 4 give 0.75."
    )
