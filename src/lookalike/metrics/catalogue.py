"""Every metric there is, each with its contract."""

from __future__ import annotations

from lookalike.metrics.contract import Definition

_H_AP = (
    "hierarchical AP: sum over relevant items k of (rel_k + sum of min(rel_k, rel_m) over the "
    "items m ranked before) / rank_k, divided by the sum of rel"
)
_REL = (
    "rel of an item that shares l of L label columns with the query is (l / L)^alpha / n_l "
    "(evaluation.relevance=map: the sum over p = 1..l of alpha_p / N_p, N_p how many share p or "
    "more)"
)
RETRIEVAL = (
    Definition(
        "precision_at_{k}",
        "items of the query's class among its {k} nearest, divided by {k}",
        "standard; precision_at_1 as in Musgrave et al. 2020",
        aliases=("p_at_{k}",),
    ),
    Definition(
        "recall_at_{k}",
        "1 if any of the {k} nearest items is of the query's class, else 0 (the hit rate)",
        "Jegou et al. 2011; the R@k of metric learning (Oh Song et al. 2016)",
        aliases=("r_at_{k}", "hit_rate_at_{k}", "cmc_at_{k}", "rank_{k}"),
    ),
    Definition(
        "true_recall_at_{k}",
        "relevant items among the {k} nearest, divided by min(R, {k}), so that 1 can be reached",
        "Patel et al. 2022; SupRank",
        aliases=("tr_at_{k}",),
    ),
    Definition(
        "r_precision",
        "relevant items among the R nearest, divided by R",
        "TREC; Musgrave et al. 2020",
        aliases=("rp", "r_prec"),
    ),
    Definition(
        "mean_average_precision",
        "mean over the R relevant items of j / r_j, r_j being the rank of the j-th of them",
        "TREC; scikit-learn's average_precision_score where nothing ties",
        aliases=("map", "ap", "average_precision"),
    ),
    Definition(
        "mean_average_precision_at_r",
        "sum of j / r_j over the relevant items with r_j <= R, divided by R",
        "Musgrave et al. 2020",
        aliases=("map_at_r", "mapr"),
    ),
    Definition(
        "mean_average_precision_at_{k}",
        "sum of j / r_j over the relevant items with r_j <= {k}, divided by min(R, {k})",
        "Google Landmarks v2 (k = 100)",
        aliases=("map_at_{k}", "ap_at_{k}"),
    ),
    Definition(
        "mean_reciprocal_rank",
        "1 / r_1, the rank of the nearest relevant item",
        "TREC",
        aliases=("mrr",),
    ),
    Definition(
        "ndcg",
        "sum of (2^t - 1) / log2(1 + rank), t the number of label columns shared with the query, "
        "divided by the same sum for the best possible ranking",
        "Jarvelin and Kekalainen 2002, gains as in Burges et al. 2005",
        graded=True,
    ),
    Definition(
        "ndcg_at_{k}",
        "ndcg of the {k} nearest items, divided by that of the best {k}",
        "Jarvelin and Kekalainen 2002, gains as in Burges et al. 2005",
        graded=True,
        special=True,
    ),
    Definition(
        "linear_ndcg",
        "ndcg with the gain t in place of 2^t - 1",
        "Jarvelin and Kekalainen 2002; scikit-learn's ndcg_score, torchmetrics' retrieval NDCG",
        aliases=("ndcg_linear",),
        graded=True,
        special=True,
    ),
    Definition(
        "linear_ndcg_at_{k}",
        "ndcg_at_{k} with the gain t in place of 2^t - 1",
        "scikit-learn's ndcg_score, torchmetrics' retrieval NDCG",
        aliases=("ndcg_linear_at_{k}",),
        graded=True,
        special=True,
    ),
    Definition(
        "mean_reciprocal_rank_at_{k}",
        "1 / r_1, the rank of the nearest relevant item, or 0 where that is beyond {k}",
        "MS MARCO; TREC",
        aliases=("mrr_at_{k}",),
        special=True,
    ),
    Definition(
        "ir_recall_at_{k}",
        "relevant items among the {k} nearest, divided by R (recall as information retrieval has "
        "it; the hit rate is recall_at_{k})",
        "TREC; torchmetrics' retrieval recall, trec_eval's recall",
        aliases=("information_recall_at_{k}", "retrieval_recall_at_{k}"),
        special=True,
    ),
    Definition(
        "mean_inverse_negative_penalty",
        "R / r_R: how many relevant items there are, over the rank of the last of them",
        "Ye et al. 2021 (AGW), person re-identification",
        aliases=("minp", "inp"),
        special=True,
    ),
    Definition(
        "h_ap",
        f"{_H_AP}; {_REL}, n_l how many items of the ranking share exactly l",
        "Ramzi et al. 2022 (HAPPIER), equations 3 to 5 and 10",
        aliases=("hap", "hierarchical_average_precision"),
        graded=True,
    ),
    Definition(
        "h_ap_happier",
        f"{_H_AP}; {_REL}, n_l how many items share exactly l, where the query counts itself as "
        "one of n_L if the gallery holds it, although the ranking leaves it out: the finest class "
        "weighs less. With two images a class it lies up to 0.08 from h_ap",
        "the program of HAPPIER and SupRank, whose published H-AP this is",
        aliases=("hap_happier", "h_ap_suprank"),
        graded=True,
        special=True,
    ),
    Definition(
        "asi",
        "average set intersection: mean over depths 1..R of the items, counted by number of "
        "shared label columns, that the first ranks hold in common with the best ranking, "
        "divided by the depth",
        "Sun et al. 2021 (DyML)",
        aliases=("average_set_intersection",),
        graded=True,
    ),
    Definition(
        "micro_average_precision",
        "each query's nearest item is its one prediction; all predictions sorted by score, sum "
        "of precision at the right ones, divided by the number of queries with a relevant item "
        "(queries without one stay in the list as wrong predictions)",
        "Google Landmarks v2 recognition; Perronnin et al. 2009",
        aliases=("micro_ap", "map_micro", "gap", "global_average_precision"),
        pooled=True,
    ),
    Definition(
        "mean_average_precision_trapezoid",
        "mean over the R relevant items of ((j - 1) / (r_j - 1) + j / r_j) / 2, the first "
        "quotient 1 where r_j = 1",
        "Oxford and Paris buildings, original and revisited; RAML",
        aliases=("map_trapezoid", "trapezoid_map", "trapezoid_ap"),
    ),
    Definition(
        "mean_average_precision_trapezoid_at_{k}",
        "the terms of the trapezoidal average precision with r_j <= {k}, divided by min(R, {k})",
        "the mAP@k of RAML",
        aliases=("map_trapezoid_at_{k}", "trapezoid_map_at_{k}"),
        special=True,
    ),
    Definition(
        "mean_precision_at_{k}",
        "relevant items among the q nearest, divided by q, where q is {k} or, if smaller, the rank "
        "of the last relevant item",
        "the mP@k of Oxford and Paris buildings, revisited; RAML",
        aliases=("mp_at_{k}",),
        special=True,
    ),
    Definition(
        "exclusive_average_precision",
        "average precision of the items that share this label column with the query and no finer "
        "one, after those that share a finer one are taken out of the ranking",
        "the AP#v of SupRank",
        aliases=("hard_ap", "ap_exclude"),
    ),
)
CLUSTERING = tuple(
    Definition(
        name,
        words,
        protocol,
        ties="a clustering has none",
        empty="every item counts",
        aliases=aliases,
        pooled=True,
    )
    for name, words, protocol, aliases in (
        (
            "pairwise_f",
            "harmonic mean of the share of same-cluster pairs that share a class and the share "
            "of same-class pairs that share a cluster",
            "Hi-LANDER; Banerjee et al. 2005",
            ("pairwise_f1", "f1"),
        ),
        (
            "b_cubed_f",
            "harmonic mean of the mean over items of the share of its cluster that has its class "
            "and of the share of its class that is in its cluster",
            "Amigo et al. 2009",
            ("bcubed_f", "b_cubed"),
        ),
        (
            "nmi",
            "mutual information of clusters and classes, divided by the mean of their entropies",
            "scikit-learn's normalized_mutual_info_score, arithmetic mean",
            ("normalized_mutual_info",),
        ),
        (
            "ami",
            "mutual information of clusters and classes, less what chance gives, divided by the "
            "mean of their entropies less the same",
            "Vinh et al. 2010; scikit-learn's adjusted_mutual_info_score",
            ("adjusted_mutual_info",),
        ),
        (
            "ari",
            "share of item pairs on which clusters and classes agree, less what chance gives, "
            "divided by its maximum less the same",
            "Hubert and Arabie 1985; scikit-learn's adjusted_rand_score",
            ("adjusted_rand_index", "adjusted_rand_score"),
        ),
    )
)
VERIFICATION = tuple(
    Definition(
        name,
        words,
        protocol,
        ties="pairs of equal score pass a threshold together",
        empty="NaN without a pair of one class, or of two",
        aliases=aliases,
        pooled=True,
        special=True,
    )
    for name, words, protocol, aliases in (
        (
            "pair_auroc",
            "area under the ROC curve of all pairs of items by their score",
            "scikit-learn's roc_auc_score",
            ("auroc", "roc_auc"),
        ),
        (
            "pair_average_precision",
            "average precision of all pairs of items by their score",
            "scikit-learn's average_precision_score",
            ("pair_ap",),
        ),
        (
            "equal_error_rate",
            "mean of false match and false non-match rate at the threshold where they are nearest",
            "ISO/IEC 19795-1",
            ("eer",),
        ),
        (
            "fnmr_at_fmr",
            "least false non-match rate of a threshold whose false match rate is at most F",
            "ISO/IEC 19795-1; open-metric-learning's fnmr@fmr",
            ("fnmr", "tar_at_far"),
        ),
    )
)
_SETUPS = {
    "easy": "easy ones, the hard leaving the ranking with the junk",
    "medium": "easy and hard ones, the junk leaving the ranking",
    "hard": "hard ones, the easy leaving the ranking with the junk",
    "original": "good and ok ones, the junk leaving the ranking",
}
LANDMARKS = tuple(
    Definition(
        f"{setup}_{stem}",
        f"{words}; relevant: the {relevant}",
        "Oxford and Paris buildings (Philbin et al. 2007, 2008)"
        if setup == "original"
        else "Revisited Oxford and Paris (Radenovic et al. 2018)",
        special=True,
    )
    for setup, relevant in _SETUPS.items()
    for stem, words in (
        (
            "map",
            "mean over the R relevant items of ((j - 1) / (r_j - 1) + j / r_j) / 2, the first "
            "quotient 1 where r_j = 1",
        ),
        (
            "mp_at_{k}",
            "relevant items among the q nearest, divided by q, where q is {k} or, if smaller, the "
            "rank of the last relevant item",
        ),
    )
)
