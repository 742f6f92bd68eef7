"""Scores of a confusion matrix, as the field defines them, in float64 on the host.

With TP_c, FP_c, FN_c and n_c = TP_c + FN_c counted over ALL folds together:

    precision_c = TP_c / (TP_c + FP_c)          recall_c = TPR_c = TP_c / n_c
    F1_c = 2 TP_c / (2 TP_c + FP_c + FN_c)      TNR_c = TN_c / (TN_c + FP_c)

    UF1       mean of F1_c over all K classes                  (MEGC 2019, See et al., section 4)
    UAR       mean of recall_c over the classes that occur     (MEGC 2019; balanced accuracy)
    macro F1  mean of F1_c over classes that occur or are predicted
    micro F1  F1 of TP, FP and FN summed over classes; equal to accuracy for single labels

0/0: F1_c of a class that neither occurs nor is predicted is 0, and UF1 counts it (the challenge
divides by K); macro F1 does not. Precision of a class that is never predicted, recall of a
class that does not occur and TNR of a class that all clips have are NaN. For a matrix without a
clip everything but `support` is NaN.

`alternative_scores` computes other definitions that are in use. They explain why published numbers
differ; do not report them.
"""

from collections.abc import Callable

import numpy as np

from mer_jax.errors import UserError

OVERALL = ("uf1", "uar", "accuracy", "micro_f1", "macro_f1", "macro_tnr")
PER_CLASS = ("precision", "recall", "f1", "tpr", "tnr", "support")


def scores(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """All scores of one or many confusion matrices.

    Args:
      confusion: [..., K, K] counts or sums of weights, rows true.

    Returns:
      float64: the names of `OVERALL` [...] and the names of `PER_CLASS` [..., K].

    Raises:
      UserError: where a matrix is not square or has a negative number or NaN.

    >>> print(f"{scores([[3, 1], [0, 2]])['uf1']:.4f}")
    0.8286
    """
    matrix = np.asarray(confusion, np.float64)
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
        raise UserError(f"a confusion matrix is [K, K]; this one has shape {matrix.shape}")
    if not (matrix >= 0).all():
        raise UserError("a confusion matrix holds counts; this one has a negative number or NaN")
    return scores_from_counts(class_counts(matrix))


def class_counts(confusion: np.ndarray) -> np.ndarray:
    """True positives, support and number of predictions of each class, from which scores follow.

    Args:
      confusion: [..., K, K], rows true.

    Returns:
      [..., 3, K] float64: diagonal, row sums and column sums.

    >>> class_counts([[3, 1], [0, 2]])
    array([[3., 2.],
           [4., 2.],
           [3., 3.]])
    """
    matrix = np.asarray(confusion, np.float64)
    hit = np.diagonal(matrix, axis1=-2, axis2=-1)
    return np.stack([hit, matrix.sum(-1), matrix.sum(-2)], -2)


def scores_from_counts(counts: np.ndarray) -> dict[str, np.ndarray]:
    """`scores` of `class_counts`, which are additive over folds and subjects, as matrices are.

    Args:
      counts: [..., 3, K].

    Returns:
      As `scores`.
    """
    hit, support, predicted = np.moveaxis(counts, -2, 0)
    total = support.sum(-1)
    accuracy = ratio(hit.sum(-1), total)
    return scores_of_classes(hit, support, predicted, total[..., None], accuracy)


def scores_of_classes(
    hit: np.ndarray,
    support: np.ndarray,
    predicted: np.ndarray,
    clips: np.ndarray,
    accuracy: np.ndarray,
) -> dict[str, np.ndarray]:
    """`scores` of counts [..., K]; clips: of each class, with it or without; accuracy: [...]."""
    rest = clips - support
    recall = ratio(hit, support)
    tnr = ratio(rest - (predicted - hit), rest)
    f1 = np.where(clips > 0, ratio(2 * hit, support + predicted, empty=0.0), np.nan)

    def mean(values, where):
        return ratio(np.where(where, values, 0).sum(-1), where.sum(-1))

    return {
        "uf1": f1.mean(-1),
        "uar": mean(recall, support > 0),
        "accuracy": accuracy,
        "micro_f1": ratio(2 * hit.sum(-1), support.sum(-1) + predicted.sum(-1)),
        "macro_f1": mean(f1, support + predicted > 0),
        "macro_tnr": mean(tnr, rest > 0),
        "precision": ratio(hit, predicted),
        "recall": recall,
        "f1": f1,
        "tpr": recall,
        "tnr": tnr,
        "support": support,
    }


def ratio(
    above: np.ndarray | float, below: np.ndarray | float, *, empty: float = np.nan
) -> np.ndarray:
    """above / below in float64, `empty` where `below` is 0; the arguments broadcast.

    >>> ratio(np.array([1, 0]), np.array([2, 0]), empty=0.0)
    array([0.5, 0. ])
    """
    above, below = np.broadcast_arrays(np.asarray(above, np.float64), np.asarray(below, np.float64))
    return np.divide(above, below, out=np.full(below.shape, empty), where=below > 0)


def majority(confusion: np.ndarray, *, scores: Callable = scores) -> dict[str, float]:
    """Accuracy, UF1 and UAR of always predicting the most frequent class.

    confusion: [K, K]; or [K, 2, 2] with the scores `multilabel.scores`, each label by itself.

    >>> majority([[3, 1], [0, 2]])["accuracy"]
    0.6666666666666666
    """
    support = np.asarray(confusion, np.float64).sum(-1)
    most = np.arange(support.shape[-1]) == support.argmax(-1)[..., None, None]
    found = scores(np.where(most, support[..., None], 0))
    return {name: float(found[name]) for name in ("uf1", "uar", "accuracy")}


def _tested(confusions: np.ndarray) -> np.ndarray:
    """The folds [F, K, K] that have a clip."""
    folds = np.asarray(confusions)
    return folds[folds.sum((-2, -1)) > 0]


def mean_of_folds(confusions: np.ndarray, *, absent_as_zero: bool) -> dict[str, float]:
    """UF1 and UAR of each fold [F, K, K] by itself, averaged, instead of scores of the sum.

    A class that has no clip in a fold (for UF1: and is not predicted there) is dropped from that
    fold's mean (as by scikit-learn's f1_score and balanced_accuracy_score: a fold of one class
    scores 1 if every clip is right), or counts 0 there (such a fold scores at most 1/K). Folds
    without a clip do not count.

    >>> mean_of_folds([[[2, 0], [0, 0]], [[1, 1], [0, 2]]], absent_as_zero=False)["uar"]
    0.875
    """
    found = scores(_tested(confusions))
    if absent_as_zero:
        recall = np.nan_to_num(found["recall"])
        return {"uf1": float(found["uf1"].mean()), "uar": float(recall.mean())}
    return {"uf1": float(found["macro_f1"].mean()), "uar": float(found["uar"].mean())}


def alternative_scores(confusions: np.ndarray) -> dict[str, float]:
    """Scores of the folds [F, K, K] by other definitions in use: description -> value."""
    pooled = scores(np.asarray(confusions, np.float64).sum(0))
    # As by scikit-learn: a class that occurs or is predicted counts, as 0 without the other.
    there = lambda found: (found["support"] > 0) | ~np.isnan(found["precision"])
    precision = float(np.nan_to_num(pooled["precision"])[there(pooled)].mean())
    each = scores(_tested(confusions))
    recalls = np.nan_to_num(each["recall"]).sum(-1) / there(each).sum(-1)
    recall = float(pooled["uar"])
    f1_of_means = ratio(2 * precision * recall, precision + recall, empty=0.0)
    weighted_f1 = (pooled["f1"] * pooled["support"]).sum() / pooled["support"].sum()
    dropped = mean_of_folds(confusions, absent_as_zero=False)
    zero = mean_of_folds(confusions, absent_as_zero=True)
    return {
        'macro precision, printed as "UAR"': precision,
        "UF1, classes that neither occur nor are predicted left out": float(pooled["macro_f1"]),
        "UF1, mean of folds, absent classes dropped": dropped["uf1"],
        "UAR, mean of folds, absent classes dropped": dropped["uar"],
        "UAR, mean of folds, absent classes dropped unless predicted": float(recalls.mean()),
        "UF1, mean of folds, absent classes as 0": zero["uf1"],
        "UAR, mean of folds, absent classes as 0": zero["uar"],
        "F1 of macro precision and macro recall": float(f1_of_means),  # some code's macro F1
        "F1 weighted by support": float(weighted_f1),  # dominated by the frequent class
    }
